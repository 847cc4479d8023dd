set(ROOM_LIBS PkgConfig::SIMDJSON PkgConfig::RE2 PkgConfig::ABSL_TIME PkgConfig::FMT)
