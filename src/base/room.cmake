set(ROOM_LIBS PkgConfig::XXHASH PkgConfig::FMT)
