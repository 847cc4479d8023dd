set(ROOM_LIBS PkgConfig::OPENSSL PkgConfig::FMT PkgConfig::CARES)
