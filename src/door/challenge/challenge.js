// The page's side of a challenge of Tamis: a button, a progress bar and a line of text that screen readers read aloud.
//
//   <script src="/v1/challenges/challenge.js" defer></script>
//   <form method="post">
//     <div class="tamis-challenge" data-challenge="TEXT" data-bits="14" data-count="8">
//       <noscript>...</noscript>
//     </div>
//   </form>
//
// The attributes are those of the answer of POST /v1/challenges. When it is solved, the form has a hidden field
// `tamis_solution` (data-name changes it) with {"challenge": ..., "solution": [...]}, and the element fires the event
// `tamis-solved` with the same as detail. data-auto="1" begins without the button being pressed. Words can be replaced by
// data-label, data-working, data-done, data-failed,
// data-insecure (the page came without TLS). Everything works with the keyboard; nothing has to be seen, heard or
// recognised, and nothing runs out while somebody is slow but the challenge's own ten minutes.
"use strict";

(() => {
  const script = document.currentScript;
  const WORDS = {
    label: "I am not a machine: start the check",
    working: "Checking. This takes a moment, and you need not do anything.",
    done: "The check is done. You can go on.",
    failed: "The check did not work. Please press the button again, or reload the page.",
    insecure: "The check needs a page that was sent encrypted. Please open this page again with https://.",
  };

  function begin(box, parts) {
    if (box.dataset.state === "working" || box.dataset.state === "done") return;
    const word = (name) => box.dataset[name] || WORDS[name];
    const source = box.dataset.worker || new URL("challenge_worker.js", script ? script.src : location.href).href;
    const say = (state, text) => {
      box.dataset.state = state;
      parts.status.textContent = text;
    };
    const fail = (why = "failed") => {
      parts.bar.hidden = true;
      parts.button.disabled = false;
      say("failed", word(why));
    };
    // Browsers compute hashes for pages over TLS, and for those of this very machine, alone.
    if (!window.isSecureContext) return fail("insecure");
    say("working", word("working"));
    parts.button.disabled = true;
    parts.bar.hidden = false;
    parts.bar.value = 0;
    let worker;
    try {
      worker = new Worker(source);
    } catch (error) {
      return fail();
    }
    worker.onerror = () => fail();
    worker.onmessage = (event) => {
      if (event.data.error) {
        worker.terminate();
        return fail();
      }
      if (event.data.done) parts.bar.value = event.data.done;
      if (!event.data.solution) return;
      worker.terminate();
      const detail = { challenge: box.dataset.challenge, solution: event.data.solution };
      parts.field.value = JSON.stringify(detail);
      parts.bar.hidden = true;
      parts.button.hidden = true;
      say("done", word("done"));
      if (parts.hadFocus()) parts.status.focus();
      box.dispatchEvent(new CustomEvent("tamis-solved", { bubbles: true, detail }));
    };
    worker.postMessage({ challenge: box.dataset.challenge, bits: Number(box.dataset.bits), count: Number(box.dataset.count) });
  }

  function build(box) {
    if (box.dataset.state) return;
    box.dataset.state = "ready";
    const make = (name, set) => Object.assign(document.createElement(name), set);
    const parts = {
      button: make("button", { type: "button", textContent: box.dataset.label || WORDS.label }),
      bar: make("progress", { max: Number(box.dataset.count), value: 0, hidden: true }),
      // A live region is read aloud when it changes; it can take the focus when the button goes away.
      status: make("p", { tabIndex: -1 }),
      field: make("input", { type: "hidden", name: box.dataset.name || "tamis_solution" }),
    };
    parts.status.setAttribute("role", "status");
    parts.status.setAttribute("aria-live", "polite");
    parts.bar.setAttribute("aria-label", box.dataset.working || WORDS.working);
    let focused = false;
    parts.button.addEventListener("focus", () => (focused = true));
    parts.hadFocus = () => focused;
    parts.button.addEventListener("click", () => begin(box, parts));
    box.append(parts.button, parts.bar, parts.status, parts.field);
    if (box.dataset.auto === "1") begin(box, parts);
  }

  const all = () => document.querySelectorAll(".tamis-challenge[data-challenge]").forEach(build);
  // Whoever puts the challenge into the page by a script of its own may do so until it has been loaded.
  if (document.readyState !== "loading") all();
  document.addEventListener("DOMContentLoaded", all);
  window.addEventListener("load", all);
})();
