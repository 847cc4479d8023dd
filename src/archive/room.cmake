# DuckDB comes as a prebuilt library with its C header; `./dev` puts both below build/third_party. The library is loaded
# when it is first needed (src/archive/duck.h), so nothing is linked here.
set(duckdb_modules ${CMAKE_SOURCE_DIR}/build/third_party/duckdb/node_modules)
find_path(DUCKDB_INCLUDE_DIR duckdb.h PATHS ${duckdb_modules}/duckdb/src/duckdb/src/include)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(duckdb_cpu arm64)
else()
  set(duckdb_cpu x64)
endif()
find_file(DUCKDB_LIBRARY libduckdb.so
          PATHS ${duckdb_modules}/@duckdb/node-bindings-linux-${duckdb_cpu} /usr/local/lib /usr/lib)
if(NOT DUCKDB_INCLUDE_DIR OR NOT DUCKDB_LIBRARY)
  message(FATAL_ERROR "DuckDB is not there: run `./dev third-party`, which installs it into build/third_party")
endif()
add_library(tamis_duckdb INTERFACE IMPORTED GLOBAL)
target_include_directories(tamis_duckdb SYSTEM INTERFACE ${DUCKDB_INCLUDE_DIR})
target_compile_definitions(tamis_duckdb INTERFACE TAMIS_DUCKDB_LIBRARY="${DUCKDB_LIBRARY}")
set(ROOM_LIBS tamis_duckdb PkgConfig::FMT PkgConfig::OPENSSL PkgConfig::ZSTD ${CMAKE_DL_LIBS})
# The loops over packed columns are worth unrolling and vectorising.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set_source_files_properties(${dir}/hot.cc ${dir}/hot_select.cc ${dir}/pages.cc PROPERTIES COMPILE_OPTIONS "-O3")
endif()
