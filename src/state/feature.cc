#include "state/feature.h"

#include "state/counter.h"
#include "state/distinct.h"
#include "state/rate.h"
#include "state/sightings.h"
#include "state/tally.h"

namespace tamis::state {

std::unique_ptr<FeatureTable> FeatureTable::make(const FeatureSpec& spec) {
  switch (spec.aggregate) {
    case Aggregate::kCount:
    case Aggregate::kSum:
    case Aggregate::kMean:
    case Aggregate::kMin:
    case Aggregate::kMax:
    case Aggregate::kFirstSeen:
    case Aggregate::kRatio:
      return std::make_unique<FeatureTableOf<Counter>>(spec);
    case Aggregate::kDistinct:
      return std::make_unique<FeatureTableOf<Distinct>>(spec);
    case Aggregate::kLast:
    case Aggregate::kSet:
      return std::make_unique<FeatureTableOf<Sightings>>(spec);
    case Aggregate::kRate:
      return std::make_unique<FeatureTableOf<Rate>>(spec);
    case Aggregate::kQuantile:
    case Aggregate::kTopK:
      return std::make_unique<FeatureTableOf<Tally>>(spec);
  }
  TAMIS_ASSERT(false);
}

}  // namespace tamis::state
