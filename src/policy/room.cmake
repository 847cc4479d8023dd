set(ROOM_LIBS PkgConfig::YAMLCPP PkgConfig::FMT)
