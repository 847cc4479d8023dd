#include "app/replay_state.h"

#include "state/bytes.h"

namespace tamis::app {

using state::ByteReader;
using state::put_number;
using state::put_text;
using state::put_varint;

namespace {

constexpr uint32_t kFormat = 2;

template <class Counts>
void put_counts(std::string& out, const Counts& counts) {
  put_varint(out, counts.size());
  for (const auto& [name, count] : counts) {
    put_text(out, name);
    put_varint(out, count);
  }
}

template <class ByType>
void put_by_type(std::string& out, const ByType& by_type) {
  put_varint(out, by_type.size());
  for (const auto& [type, counts] : by_type) {
    put_text(out, type);
    put_counts(out, counts);
  }
}

template <class Counts>
void read_counts(ByteReader& in, Counts& counts) {
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    std::string name(in.text());
    counts[name] = in.varint();
  }
}

template <class ByType>
void read_by_type(ByteReader& in, ByType& by_type) {
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    std::string type(in.text());
    read_counts(in, by_type[type]);
  }
}

// The numbers in their order, for both directions.
template <class Visit>
void visit_numbers(ReplayState& state, const Visit& visit) {
  Tally& tally = state.tally;
  replay::JournalPlace& journal = state.journal;
  for (uint64_t* number : {&tally.seeded, &tally.decided, &tally.refused, &tally.late, &tally.repeated}) visit(*number);
  for (ReplayOutput::Place* place : {&state.out, &state.findings}) visit(place->bytes), visit(place->digest);
  for (uint64_t* number : {&journal.record, &journal.line_hash, &journal.records, &journal.decided, &journal.refused,
                           &journal.acts_refused, &state.lines, &state.lines_hash}) {
    visit(*number);
  }
}

}  // namespace

void write_state(const ReplayState& state, std::string& out) {
  put_number(out, kFormat);
  visit_numbers(const_cast<ReplayState&>(state), [&](uint64_t& number) { put_number(out, number); });
  put_text(out, state.journal.intel);
  put_counts(out, state.tally.unknown_types);
  put_by_type(out, state.tally.verdicts);
  put_by_type(out, state.tally.dropped);
  put_varint(out, state.recent.all().size());
  for (const RecentPlaces::Place& place : state.recent.all()) {
    put_varint(out, place.record);
    put_varint(out, place.at);
    put_varint(out, place.bytes);
  }
  put_varint(out, state.accounts.all().size());
  for (const Accounts::Account& account : state.accounts.all()) {
    put_text(out, account.name);
    put_number(out, account.acted_ms);
  }
}

base::Status read_state(std::string_view bytes, ReplayState& state) {
  ByteReader in(bytes);
  if (in.number<uint32_t>() != kFormat) return base::invalid("the checkpoint is of another version");
  visit_numbers(state, [&](uint64_t& number) { number = in.number<uint64_t>(); });
  state.journal.intel = in.text();
  read_counts(in, state.tally.unknown_types);
  read_by_type(in, state.tally.verdicts);
  read_by_type(in, state.tally.dropped);
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    RecentPlaces::Place place;
    place.record = in.varint();
    place.at = in.varint();
    place.bytes = in.varint();
    if (place.at > state.out.bytes || place.bytes > state.out.bytes - place.at) {
      return base::invalid("the checkpoint is damaged");
    }
    state.recent.remember(place);
  }
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    const std::string_view name = in.text();
    state.accounts.add(name, in.number<int64_t>());
  }
  if (!in.ok() || in.left() != 0) return base::invalid("the checkpoint is damaged");
  return {};
}

}  // namespace tamis::app
