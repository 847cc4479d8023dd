set(ROOM_LIBS PkgConfig::FMT PkgConfig::ZSTD PkgConfig::OPENSSL)
