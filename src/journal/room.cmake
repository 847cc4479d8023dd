set(ROOM_LIBS PkgConfig::ZSTD PkgConfig::FMT)
