set(ROOM_LIBS PkgConfig::FMT)
