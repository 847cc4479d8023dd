set(ROOM_LIBS PkgConfig::XXHASH PkgConfig::ZSTD PkgConfig::FMT)
# Scores are the same bits everywhere: no fused multiply-add that one processor has and another has not.
set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-ffp-contract=off;-O3")
