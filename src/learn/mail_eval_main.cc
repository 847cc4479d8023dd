// learn_mail_eval: measures parser, features and spam model over a labelled corpus, in the order of time. The doors'
// whole path, with the policy, is what `tamis mail eval` measures.
#include "learn/message_features.h"
#include "model/eval_program.h"

int main(int count, char** words) {
  tamis::mail::Analyser analyser;
  return tamis::model::run_eval_program(
      count, words, [&](std::string_view message, tamis::model::FeatureCollector& collector) {
        tamis::learn::collect_message_features(analyser.analyse(message), {}, collector);
      });
}
