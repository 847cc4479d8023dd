// `tamis mail learn` and `tamis mail golden`: what people say of messages.
#pragma once

#include "app/command.h"

namespace tamis::app {

Command add_mail_learn(CLI::App& app);
Command add_mail_golden(CLI::App& app);

}  // namespace tamis::app
