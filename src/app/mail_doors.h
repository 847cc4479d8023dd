// The mail doors of `tamis serve`: their flags, and what is checked before they open.
#pragma once

#include <memory>

#include "door/mail_doors.h"

namespace CLI {
class App;
}

namespace tamis::app {

void add_mail_door_flags(CLI::App& app, door::MailDoorOptions& options);

// Whether any door was asked for.
bool has_mail_doors(const door::MailDoorOptions& options);

// Opens the doors that were asked for and says on stderr where they listen; null when none was. `scanner` may be null:
// then the policy decides no mail, and to ask for a door is an error. So is an address that a network reaches, unless
// the operator says that he knows (`insecure`).
base::Result<std::unique_ptr<door::MailDoors>> open_mail_doors(door::MailScanner* scanner,
                                                               const door::MailDoorOptions& options, bool insecure);

}  // namespace tamis::app
