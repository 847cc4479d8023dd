set(ROOM_LIBS PkgConfig::OPENSSL PkgConfig::SQLITE3 PkgConfig::FMT)
