#include "app/server_options.h"

#include <CLI/CLI.hpp>

#include "net/tls.h"

namespace tamis::app {

void add_server_options(CLI::App& app, ServerOptions& options) {
  app.add_option("--url", options.url, "The server")->capture_default_str();
  app.add_option("--token", options.token, "Bearer token")->envname("TAMIS_TOKEN");
  app.add_option("--ca", options.ca_file, "PEM of the authority behind its certificate; without, the system's");
}

base::Result<net::HttpClient> open_client(const ServerOptions& options) {
  net::HttpClientOptions client;
  client.bearer_token = options.token;
  if (!options.ca_file.empty()) {
    net::TlsClientOptions tls;
    tls.ca_file = options.ca_file;
    TAMIS_TRY(context, net::TlsClientContext::load(tls));
    client.tls = std::move(context);
  }
  return net::HttpClient::open(options.url, client);
}

}  // namespace tamis::app
