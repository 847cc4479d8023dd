set(ROOM_LIBS PkgConfig::RE2 PkgConfig::ABSL_TIME PkgConfig::FMT PkgConfig::SIMDJSON)
# The loops over columns are worth unrolling and vectorising.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set_source_files_properties(${dir}/columns.cc ${dir}/column_tests.cc ${dir}/column_values.cc
                              PROPERTIES COMPILE_OPTIONS "-O3")
endif()
