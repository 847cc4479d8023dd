// DataSession: how a command reaches a data folder. A server that holds it is asked over its socket; otherwise the
// folder is locked and served here, for as long as the command runs, so that every command does the same in both cases.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "action/outbox.h"
#include "app/read_only.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "door/http_api.h"
#include "door/mail_service.h"
#include "door/service.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "replay/data_folder.h"

namespace tamis::app {

struct DataSessionOptions {
  std::string data;
  // Made the policy where no server holds the folder: needed for a new folder, else the one that decided last stays.
  std::string policy;
  std::vector<std::string> intel;
  bool quiet = false;
  bool must_exist = true;  // a folder that is not there is an error, not a new one
  bool reads = false;      // it changes nothing, so that a folder that may only be read will do (read_only.h)
  bool mail = false;       // corrections of mail are learned, too
  bool state = true;       // false: the archive is enough; the engine's state is recovered only if it is not whole
};

class DataSession {
 public:
  // Errors: no such folder, it is in use by a process that does not answer, it is damaged, the policy has errors (told
  // on stderr).
  static base::Result<std::unique_ptr<DataSession>> open(const DataSessionOptions& options);
  ~DataSession();

  // Null where a server holds the folder.
  door::Service* service() { return service_.get(); }

  // The body of a 2xx answer; the message of every other one as an error.
  base::Result<std::string> get(const std::string& path);
  base::Result<std::string> post(const std::string& path, std::string body,
                                 const std::string& content_type = "application/json");
  // Starts a job by POST and waits for its result, with a progress bar. Stops it when the user interrupts.
  base::Result<std::string> run_job(const std::string& what, const std::string& path, std::string body);
  // Writes a snapshot, so that the next command starts at once. Only where no server holds the folder. A folder with an
  // outbox gets none, since only a server knows the channels: its recovery folds the records behind the last snapshot
  // and enqueues what is told of them. `tells_nothing`: what this command did needs no telling.
  base::Status checkpoint(bool tells_nothing = false);

 private:
  explicit DataSession(DataSessionOptions options) : options_(std::move(options)) {}
  base::Status serve();
  base::Result<std::unique_ptr<replay::DataFolder>> open_read_only();
  base::Status recover();
  base::Result<std::string> call(const net::HttpCall& call);

  DataSessionOptions options_;
  std::unique_ptr<ReadOnlyFolder> read_only_;
  std::unique_ptr<replay::DataFolder> folder_;
  base::SystemClock clock_;
  std::unique_ptr<action::Outbox> outbox_;
  bool tail_untold_ = false;  // there were records behind the last snapshot
  std::unique_ptr<door::Service> service_;
  std::unique_ptr<base::MetricRegistry> metrics_;
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<door::MailService> mail_;
  std::unique_ptr<door::HttpApi> api_;
  std::unique_ptr<net::HttpClient> client_;
};

// A path segment or a query value, percent-encoded.
std::string url_escape(std::string_view text);
// What `when` gives as JSON string, for bodies put together by hand.
std::string json_text(std::string_view text);
// The files of a policy folder as {"NAME": TEXT}; diagnostics go to stderr. kInvalid if it has errors.
base::Result<std::string> policy_files_json(const std::string& folder);

}  // namespace tamis::app
