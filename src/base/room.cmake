set(ROOM_LIBS PkgConfig::XXHASH)
