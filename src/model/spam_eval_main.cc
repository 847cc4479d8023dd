// model_spam_eval: measures the spam model alone, with the plain features of this room, over a labelled corpus.
// learn_mail_eval does the same with the features of the mail room.
#include "model/eval_program.h"
#include "model/plain_features.h"

int main(int count, char** words) {
  return tamis::model::run_eval_program(count, words, tamis::model::find_plain_features);
}
