-- What a mail server says to the milter door, in order and out of it; run by test/mail_doors_test.py with -D port=PORT.
-- miltertest shows no error's text, so it is said before.
function expect(what, good)
  if not good then
    mt.echo("not as expected: " .. what)
    error(what)
  end
end

function begin()
  local conn = mt.connect("inet:" .. port .. "@127.0.0.1", 20, 0.1)
  if conn == nil then error "no connection" end
  return conn
end
function send(conn, word)
  mt.macro(conn, SMFIC_MAIL, "i", "Q-" .. word)
  mt.mailfrom(conn, "<a@example.com>", "SIZE=100")
  mt.rcptto(conn, "<b@example.org>")
  mt.rcptto(conn, "<c@example.org>")
  mt.header(conn, "X-Spam-Flag", "NO")
  mt.header(conn, "Authentication-Results", "mx.example.org; spf=pass")
  mt.header(conn, "Authentication-Results", "elsewhere.example; spf=pass")
  mt.eoh(conn)
  mt.bodystring(conn, "tamis-test:" .. word .. "\r\n")
  mt.eom(conn)
end

-- One connection, every verdict, the offers of a version 6 server.
conn = begin()
mt.conninfo(conn, "client.example", "192.0.2.7")
mt.helo(conn, "helo.example")
send(conn, "tag")
expect("tag is accepted", mt.getreply(conn) == SMFIR_ACCEPT)
expect("marked", mt.eom_check(conn, MT_HDRINSERT, "X-Spam-Flag", " YES") or mt.eom_check(conn, MT_HDRINSERT, "X-Spam-Flag", "YES"))
expect("forged mark is gone", mt.eom_check(conn, MT_HDRDELETE, "X-Spam-Flag"))
expect("forged result is gone", mt.eom_check(conn, MT_HDRDELETE, "Authentication-Results"))
send(conn, "reject")
expect("rejected", mt.getreply(conn) == SMFIR_REPLYCODE)
send(conn, "greylist")
expect("put off", mt.getreply(conn) == SMFIR_REPLYCODE)
send(conn, "defer")
expect("deferred", mt.getreply(conn) == SMFIR_REPLYCODE)
send(conn, "quarantine")
expect("quarantined", mt.eom_check(conn, MT_QUARANTINE))
send(conn, "discard")
expect("discarded", mt.getreply(conn) == SMFIR_DISCARD)
send(conn, "refuse=b@example.org")
expect("one recipient less", mt.eom_check(conn, MT_RCPTDELETE, "<b@example.org>"))
expect("the other stays", not mt.eom_check(conn, MT_RCPTDELETE, "<c@example.org>"))

-- Abort in the middle, then a message as if nothing had been.
mt.mailfrom(conn, "<old@example.com>")
mt.header(conn, "Subject", "tamis-test:reject")
mt.abort(conn)
mt.abort(conn)
send(conn, "none")
expect("after an abort", mt.getreply(conn) == SMFIR_ACCEPT)
mt.disconnect(conn)

-- A server of version 2 that waits for an answer to each step.
conn = begin()
-- miltertest sends its third argument as steps and its fourth as actions.
mt.negotiate(conn, 2, 0, SMFIF_ADDHDRS + SMFIF_CHGHDRS)
mt.conninfo(conn, "client.example", "192.0.2.7")
expect("connect is answered", mt.getreply(conn) == SMFIR_CONTINUE)
mt.helo(conn, "helo.example")
mt.mailfrom(conn, "<a@example.com>")
expect("MAIL is answered", mt.getreply(conn) == SMFIR_CONTINUE)
mt.rcptto(conn, "<b@example.org>")
mt.header(conn, "Subject", "old")
expect("headers are answered", mt.getreply(conn) == SMFIR_CONTINUE)
mt.eoh(conn)
mt.bodyrandom(conn, 300000)
expect("bodies are answered", mt.getreply(conn) == SMFIR_CONTINUE)
mt.eom(conn)
expect("version 2 is accepted", mt.getreply(conn) == SMFIR_ACCEPT)
expect("version 2 is marked", mt.eom_check(conn, MT_HDRADD, "X-Spam-Flag", "NO"))
mt.disconnect(conn, false)

-- A connection that is torn, and the next one.
conn = begin()
mt.conninfo(conn, "client.example", "192.0.2.7")
mt.mailfrom(conn, "<a@example.com>")
mt.disconnect(conn, false)
conn = begin()
mt.conninfo(conn, "client.example", "192.0.2.7")
send(conn, "none")
expect("after a torn connection", mt.getreply(conn) == SMFIR_ACCEPT)
mt.disconnect(conn)
mt.echo("all as expected")
