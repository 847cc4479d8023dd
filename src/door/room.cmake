# The description of the API is part of the program.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/openapi.json)
file(READ ${CMAKE_SOURCE_DIR}/docs/openapi.json TAMIS_OPENAPI)
configure_file(${CMAKE_SOURCE_DIR}/src/door/openapi.cc.in ${CMAKE_BINARY_DIR}/openapi.cc @ONLY)
list(APPEND sources ${CMAKE_BINARY_DIR}/openapi.cc)
set(ROOM_LIBS)
