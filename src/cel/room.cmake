set(ROOM_LIBS PkgConfig::RE2 PkgConfig::ABSL_TIME PkgConfig::FMT PkgConfig::SIMDJSON)
set(ROOM_TEST_LIBS PkgConfig::SIMDJSON)
