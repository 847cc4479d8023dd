set(ROOM_LIBS PkgConfig::SIMDJSON PkgConfig::PSL PkgConfig::FMT)
