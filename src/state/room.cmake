set(ROOM_LIBS PkgConfig::RE2 PkgConfig::FMT)
