# The description of the API is part of the program.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/openapi.json)
file(READ ${CMAKE_SOURCE_DIR}/docs/openapi.json openapi)
# In pieces: compilers need not take literals beyond 65 536 bytes.
set(TAMIS_OPENAPI "")
string(LENGTH "${openapi}" openapi_bytes)
set(openapi_at 0)
while(openapi_at LESS openapi_bytes)
  string(SUBSTRING "${openapi}" ${openapi_at} 30000 piece)
  string(APPEND TAMIS_OPENAPI "    R\"__openapi__(${piece})__openapi__\",\n")
  math(EXPR openapi_at "${openapi_at} + 30000")
endwhile()
configure_file(${CMAKE_SOURCE_DIR}/src/door/openapi.cc.in ${CMAKE_BINARY_DIR}/openapi.cc @ONLY)
list(APPEND sources ${CMAKE_BINARY_DIR}/openapi.cc)
# What clients of mail filters pack messages with.
set(ROOM_LIBS PkgConfig::FMT PkgConfig::ZSTD PkgConfig::ZLIB)
