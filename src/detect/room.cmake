set(ROOM_LIBS PkgConfig::SIMDJSON PkgConfig::FMT)
# Fused multiply-adds would make scores differ between machines.
add_compile_options(-ffp-contract=off)
