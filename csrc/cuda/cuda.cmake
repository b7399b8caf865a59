# The CUDA engine as part of the target _C, where nvcc is found: rule.cu.in once per rule, and the launching code.
set(FUSEDOPT_CUDA AUTO CACHE STRING "build the CUDA engine: 1, 0, or AUTO for where nvcc is found")

# No contraction, as on the CPU; division and square root are IEEE by default.
set(CUDA_KERNEL_FLAGS -O3 --fmad=false)

function(add_cuda_engine)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    set(targets 80-real 90-real 100-real 120) # the last one as PTX too, for GPUs to come
  else()
    set(targets 80-real 90)
  endif()
  file(GLOB headers CONFIGURE_DEPENDS csrc/rules/*.h)
  foreach(path ${headers})
    get_filename_component(HEADER ${path} NAME_WE)
    file(STRINGS ${path} structs REGEX "^struct [a-z0-9_]+ {")
    list(TRANSFORM structs REPLACE "struct ([a-z0-9_]+) .*" "\\1")
    foreach(RULE ${structs})
      configure_file(csrc/cuda/rule.cu.in cuda/${RULE}.cu)
      list(APPEND rules ${CMAKE_CURRENT_BINARY_DIR}/cuda/${RULE}.cu)
    endforeach()
  endforeach()
  add_library(cuda_engine OBJECT csrc/cuda/launch.cu csrc/cuda/targets.cu ${rules})
  target_include_directories(cuda_engine PRIVATE csrc)
  target_compile_options(cuda_engine PRIVATE ${CUDA_KERNEL_FLAGS})
  set_target_properties(cuda_engine PROPERTIES CUDA_ARCHITECTURES "${targets}" CUDA_STANDARD 17
                                               CUDA_VISIBILITY_PRESET hidden)
  target_sources(_C PRIVATE csrc/cuda/bindings.cpp)
  target_compile_definitions(_C PRIVATE FUSEDOPT_CUDA)
  target_link_libraries(_C PRIVATE cuda_engine CUDA::cudart_static)
  message(STATUS "CUDA engine: ${targets}, with nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
endfunction()

if(FUSEDOPT_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(FUSEDOPT_CUDA AND CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_ARCHITECTURES OFF) # chosen above, once the compiler's version is known
  enable_language(CUDA)
  find_package(CUDAToolkit 12.1 REQUIRED) # kernel arguments of 32 KB
  add_cuda_engine()
elseif(FUSEDOPT_CUDA AND NOT FUSEDOPT_CUDA STREQUAL "AUTO")
  message(FATAL_ERROR "FUSEDOPT_CUDA=${FUSEDOPT_CUDA} but nvcc was not found; put it on PATH or set CUDACXX")
else()
  message(STATUS "CUDA engine: left out (FUSEDOPT_CUDA=${FUSEDOPT_CUDA}, nvcc: ${CMAKE_CUDA_COMPILER})")
endif()
