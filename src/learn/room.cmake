set(ROOM_LIBS PkgConfig::OPENSSL PkgConfig::FMT ${CMAKE_DL_LIBS})
