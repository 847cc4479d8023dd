set(ROOM_LIBS PkgConfig::RE2 PkgConfig::ABSL_TIME PkgConfig::FMT PkgConfig::SIMDJSON)
