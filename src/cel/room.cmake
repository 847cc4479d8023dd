set(ROOM_LIBS PkgConfig::RE2 PkgConfig::ABSL_TIME PkgConfig::FMT)
set(ROOM_TEST_LIBS PkgConfig::SIMDJSON)
