// The options of commands that talk to a server over HTTP: where it is, who asks, and whom to trust.
#pragma once

#include <string>

#include "base/result.h"
#include "net/http_client.h"

namespace CLI {
class App;
}  // namespace CLI

namespace tamis::app {

struct ServerOptions {
  std::string url = "http://127.0.0.1:8080";
  std::string token, ca_file;
};

void add_server_options(CLI::App& app, ServerOptions& options);
// Errors: a bad URL, a file that holds no certificate.
base::Result<net::HttpClient> open_client(const ServerOptions& options);

}  // namespace tamis::app
