set(ROOM_LIBS PkgConfig::OPENSSL PkgConfig::FMT)
set(ROOM_TEST_LIBS PkgConfig::YAMLCPP)
