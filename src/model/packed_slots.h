// The table of a shipped model in few bytes: weights in steps of 1/64, whole counts, by columns, under zstd.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/weights.h"

namespace tamis::model {

// Rounds a slot to what packing keeps.
void round_for_packing(Slot& slot);

std::string pack_slots(const TableOf<Slot>& slots);
// Fills `slots`, which are empty and of the size that was packed. False: these bytes are no such table; what is in the
// slots then is of no use. Memory is bounded by the size of `slots`, whatever the bytes say.
bool unpack_slots(std::string_view bytes, TableOf<Slot>& slots);

}  // namespace tamis::model
