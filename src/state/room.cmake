set(ROOM_LIBS PkgConfig::RE2 PkgConfig::FMT)
# Fused multiply-adds would make doubles differ between machines.
add_compile_options(-ffp-contract=off)
