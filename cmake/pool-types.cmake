# SPDX-License-Identifier: Apache-2.0
# weft_pool_type(nfs)   registers `const struct pool_type stord_nfs_pool`
# weft_write_pool_types(TARGET) writes the list, as stord/pool-types.h: STORD_POOL_TYPES(X) is X(dir) X(nfs) ...
define_property(GLOBAL PROPERTY WEFT_POOL_TYPES)
function(weft_pool_type name)
  set_property(GLOBAL APPEND PROPERTY WEFT_POOL_TYPES ${name})
endfunction()

function(weft_write_pool_types target)
  get_property(types GLOBAL PROPERTY WEFT_POOL_TYPES)
  set(list "")
  foreach(t ${types})
    string(APPEND list " X(${t})")
  endforeach()
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/written/stord/pool-types.h
    CONTENT "/* Written by cmake/pool-types.cmake. */\n#define STORD_POOL_TYPES(X)${list}\n")
  target_include_directories(${target} PUBLIC ${CMAKE_BINARY_DIR}/written)
endfunction()
