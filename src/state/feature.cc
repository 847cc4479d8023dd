#include "state/feature.h"

#include "state/counter.h"
#include "state/distinct.h"

namespace tamis::state {

std::unique_ptr<FeatureTable> FeatureTable::make(const FeatureSpec& spec) {
  switch (spec.aggregate) {
    case Aggregate::kCount:
    case Aggregate::kSum:
    case Aggregate::kMean:
    case Aggregate::kMin:
    case Aggregate::kMax:
    case Aggregate::kRatio:
      return std::make_unique<FeatureTableOf<Counter>>(spec);
    case Aggregate::kDistinct:
      return std::make_unique<FeatureTableOf<Distinct>>(spec);
    default:
      break;
  }
  TAMIS_ASSERT(false);
  return nullptr;
}

}  // namespace tamis::state
