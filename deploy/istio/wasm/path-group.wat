;; A proxy-wasm plugin (ABI 0.2.1): x-path-group is the first segment of the path, without the query: /items/7?page=2 is
;; /items. A stock action has the whole :path with its query, so that every query would be a counter of its own.
;; What a client sends as x-path-group is always replaced.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get (param $map i32) (param $key i32) (param $size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_replace_header_map_value"
    (func $replace (param $map i32) (param $key i32) (param $size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_remove_header_map_value"
    (func $remove (param $map i32) (param $key i32) (param $size i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) ":path")
  (data (i32.const 32) "x-path-group")
  ;; Where the host may write next; each request begins at 64.
  (global $free (mut i32) (i32.const 64))

  (func (export "proxy_abi_version_0_2_1"))

  ;; The host asks for room for what it hands in. Memory grows where a path is longer than what is there; 0 is refused.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $place i32)
    (local.set $place (global.get $free))
    (global.set $free (i32.add (local.get $place) (local.get $size)))
    (if (i32.gt_u (global.get $free) (i32.shl (memory.size) (i32.const 16)))
      (then
        (if (i32.eq
              (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1)))
              (i32.const -1))
          (then (return (i32.const 0))))))
    (local.get $place))

  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (global.set $free (i32.const 64))
    ;; Map 0 has the request's headers; the place of the value goes to 0, its size to 4.
    (if (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4))
      (then (drop (call $remove (i32.const 0) (i32.const 32) (i32.const 12))))
      (else
        (drop (call $replace (i32.const 0) (i32.const 32) (i32.const 12)
          (i32.load (i32.const 0))
          (call $segment (i32.load (i32.const 0)) (i32.load (i32.const 4)))))))
    (i32.const 0))

  ;; The size of the first segment, its slash included.
  (func $segment (param $path i32) (param $size i32) (result i32)
    (local $at i32)
    (local $byte i32)
    (local.set $at (i32.const 1))
    (block $ended
      (loop $next
        (br_if $ended (i32.ge_u (local.get $at) (local.get $size)))
        (local.set $byte (i32.load8_u (i32.add (local.get $path) (local.get $at))))
        (br_if $ended (i32.eq (local.get $byte) (i32.const 47))) ;; /
        (br_if $ended (i32.eq (local.get $byte) (i32.const 63))) ;; ?
        (br_if $ended (i32.eq (local.get $byte) (i32.const 35))) ;; #
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (if (result i32) (i32.lt_u (local.get $size) (i32.const 1))
      (then (i32.const 0))
      (else (local.get $at)))))
