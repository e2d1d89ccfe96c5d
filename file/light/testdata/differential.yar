// Every construct of the subset, several ways each. The differential test runs
// them through this engine and through yara, over files made from their own
// strings, and wants the same verdicts.
rule text_plain { strings: $a = "system" condition: $a }
rule text_nocase { strings: $a = "SysTem(" nocase condition: $a }
rule text_wide { strings: $a = "exec" wide condition: $a }
rule text_wide_ascii { strings: $a = "exec" wide ascii nocase condition: #a > 1 }
rule text_fullword { strings: $a = "eval" fullword condition: $a }
rule text_fullword_wide { strings: $a = "eval" wide fullword condition: $a }
rule text_fullword_nocase_count { strings: $a = "eval" ascii wide fullword nocase condition: #a == 2 }
rule text_escape { strings: $a = "a\"b\\c\td\x00e\n" condition: $a }
rule text_short { strings: $a = "%" condition: #a > 3 }
rule text_overlap { strings: $a = "aaa" condition: #a == 5 or #a == 9 }
rule text_xor { strings: $a = "passthru" xor condition: $a }
rule text_xor_range { strings: $a = "passthru" xor(0x10-0x2f) condition: $a }
rule text_xor_wide { strings: $a = "shell" xor wide condition: $a }
rule text_xor_ascii_wide { strings: $a = "shell" xor(1-255) wide ascii condition: #a > 1 }
rule text_base64 { strings: $a = "shell_exec" base64 condition: $a }
rule text_base64_short { strings: $a = "cmd" base64 condition: $a }
rule text_base64_wide { strings: $a = "shell_exec" base64wide condition: $a }
rule text_base64_of_wide { strings: $a = "shell_exec" wide base64 condition: $a }
rule text_base64_own { strings: $a = "shell_exec" base64("zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA9876543210+/") condition: $a }
rule text_two { strings: $a = "eval" $b = "system" condition: $a and not $b }
rule hex_plain { strings: $a = { 7f 45 4C 46 } condition: $a }
rule hex_wild { strings: $a = { 65 ?? 61 6c } condition: $a }
rule hex_nibble { strings: $a = { 6? ?6 61 } condition: #a > 0 }
rule hex_jump { strings: $a = { 65 76 [2-6] 28 } condition: $a }
rule hex_jump_fixed { strings: $a = { 65 76 61 [3] 28 } condition: $a }
rule hex_jump_open { strings: $a = { 65 76 61 6c [2-] 65 78 65 63 } condition: $a }
rule hex_jump_any { strings: $a = { 65 76 61 6c [-] 65 78 65 63 [-] 24 } condition: $a }
rule hex_jump_far { strings: $a = { 65 76 61 6c [20-900] 65 78 65 63 } condition: $a }
rule hex_jump_far_count { strings: $a = { 65 76 61 6c [0-900] 65 78 65 63 } condition: #a > 1 }
rule hex_alt { strings: $a = { 61 ( 61 | 62 63 | ?? 22 ) 61 } condition: $a }
rule hex_alt_nested { strings: $a = { ( 73 79 ( 73 | 74 ) | 65 78 [1-2] 63 ) } condition: #a > 2 }
rule hex_comment { strings: $a = { 65 /* } */ 76 // }
  61 6c } condition: $a }
rule re_plain { strings: $a = /sys(tem|log)/ condition: $a }
rule re_case { strings: $a = /sYsT[eE]m\s*\(/i condition: $a }
rule re_nocase { strings: $a = /eval *\([^)]{1,20}\)/ nocase condition: $a }
rule re_class { strings: $a = /[a-f0-9]{6,}/ condition: $a }
rule re_class_neg { strings: $a = /eval[^a-z(]/i condition: $a }
rule re_class_odd { strings: $a = /[]a-]x|[^\]]x%/ condition: $a }
rule re_dot { strings: $a = /eval.exec/ condition: $a }
rule re_dot_all { strings: $a = /eval.exec/s condition: $a }
rule re_star { strings: $a = /eval.*exec/ condition: $a }
rule re_star_all { strings: $a = /eval.*exec/s condition: $a }
rule re_lazy { strings: $a = /eval.*?exec/s condition: #a > 1 }
rule re_plus_count { strings: $a = /a+x/ condition: #a == 3 }
rule re_prefix_count { strings: $a = /[ab]*eval/ condition: #a > 4 }
rule re_begin { strings: $a = /^eval/ condition: $a }
rule re_end { strings: $a = /exec$/ condition: $a }
rule re_begin_or { strings: $a = /(^|%)system/ condition: $a }
rule re_word { strings: $a = /\beval\b/ condition: $a }
rule re_noword { strings: $a = /\Beval/ condition: $a }
rule re_noword_end { strings: $a = /eval\B/ condition: $a }
rule re_digit { strings: $a = /\d\d\d\D/ condition: #a > 1 }
rule re_space { strings: $a = /\s\S\s/ condition: $a }
rule re_w { strings: $a = /\W\w\w\W/ condition: $a }
rule re_esc { strings: $a = /\$\{\x24\t\.\/\\/ condition: $a }
rule re_brace_literal { strings: $a = /x{y/ condition: $a }
rule re_repeat { strings: $a = /(ab){2,3}c/ condition: $a }
rule re_repeat_open { strings: $a = /(ab){2,}c/ condition: $a }
rule re_repeat_upto { strings: $a = /x(ab){,2}c/ condition: $a }
rule re_repeat_exact { strings: $a = /xa{3}b/ condition: $a }
rule re_optional { strings: $a = /ev?al?\(/ condition: $a }
rule re_alt_empty { strings: $a = /eval(x|)%/ condition: $a }
rule re_wide { strings: $a = /ex[a-f]c.?/ wide condition: $a }
rule re_wide_ascii { strings: $a = /s(h|y)[a-z]+/ wide ascii nocase condition: #a > 2 }
rule re_fullword { strings: $a = /e[vx][ae][lc]/ fullword condition: $a }
rule re_fullword_greedy { strings: $a = /ev[a-z]*/ fullword condition: $a }
rule re_fullword_wide { strings: $a = /e[vx][ae][lc]/ fullword wide condition: $a }
rule re_nested { strings: $a = /(e(v|x)(a|e)(l|c)){2}/ condition: $a }
rule re_length { strings: $a = /eva[a-z]*/ condition: !a > 4 }
rule re_length_lazy { strings: $a = /eva[a-z]{1,9}?/ condition: !a > 4 }
rule re_no_atom { strings: $a = /[a-c][x-z][0-9%]/ condition: #a > 1 }
rule re_byte { strings: $a = /\x7fELF[\x00-\x02]/ condition: $a at 0 }
rule re_long { strings: $a = /eval.{0,300}exec/s condition: $a }
rule count_eq { strings: $a = "eval" condition: #a == 3 }
rule count_in { strings: $a = "eval" condition: #a in (0..100) > 1 }
rule offset_first { strings: $a = "exec" condition: @a < 50 }
rule offset_second { strings: $a = "exec" condition: @a[2] - @a[1] < 40 }
rule offset_none { strings: $a = "exec" condition: not (@a[99] > 0) }
rule at_zero { strings: $a = "eval" condition: $a at 0 }
rule at_expr { strings: $a = "eval" $b = "exec" condition: $a at @b + 4 or $b at @a + 4 }
rule in_range { strings: $a = "eval" condition: $a in (10..filesize - 20) }
rule of_any { strings: $a = "eval" $b = "exec" $c = "%" condition: any of them }
rule of_all { strings: $a = "eval" $b = "exec" $c = "%" condition: all of them }
rule of_two { strings: $a = "eval" $b = "exec" $c = "shell" condition: 2 of them }
rule of_set { strings: $a1 = "eval" $a2 = "exec" $b = "shell" condition: 1 of ($a*) and not $b }
rule of_list { strings: $a1 = "eval" $a2 = "exec" $b = "shell" condition: all of ($a1, $b) or any of ($a2) }
rule of_none { strings: $a = "eval" $b = "exec" condition: none of them }
rule of_percent { strings: $a = "eval" $b = "exec" $c = "shell" $d = "cmd" condition: 50% of them }
rule of_in { strings: $a = "eval" $b = "exec" condition: any of them in (0..30) }
rule of_anonymous { strings: $ = "eval" $ = "exec" condition: all of them }
rule of_rules { condition: 2 of (of_any, of_all, at_zero) }
rule of_rules_star { condition: any of (hex_alt*) }
rule for_of { strings: $a = "eval" $b = "exec" condition: for any of them : ( $ at 0 ) }
rule for_all_of { strings: $a = "eval" $b = "exec" condition: for all of ($a, $b) : ( # > 1 ) }
rule for_two_of { strings: $a = "eval" $b = "exec" $c = "%" condition: for 2 of them : ( @ < 100 and # > 1 ) }
rule for_in { strings: $a = "eval" condition: for any i in (1..#a) : ( uint8(@a[i] + 4) == 0x28 ) }
rule for_in_all { strings: $a = "eval" condition: for all i in (1..#a) : ( @a[i] > 20 ) }
rule for_in_list { condition: for any i in (0, 4, 8) : ( uint8(i) == 0x65 ) }
rule for_nested { strings: $a = "eval" $b = "exec" condition: for any i in (1..#a) : ( for any j in (1..#b) : ( @b[j] - @a[i] == 4 ) ) }
rule for_two { condition: for 2 i in (0..20) : ( uint8(i) == 0x65 ) }
rule for_empty_all { strings: $a = "evalevalevaleval" condition: for all i in (1..#a) : ( @a[i] > 2 ) }
rule size_small { condition: filesize < 300 }
rule size_kb { condition: filesize > 1KB }
rule size_mul { condition: filesize * 2 \ 3 % 7 == 2 }
rule read8 { condition: uint8(0) == 0x65 and uint8(1) != 0x78 }
rule read16 { condition: uint16(0) == 0x7665 }
rule read16be { condition: uint16be(0) == 0x6576 or int16be(2) < 0 }
rule read32 { condition: uint32(0) == 0x464c457f or uint32be(filesize - 4) == 0x65786563 }
rule read_signed { condition: int8(3) < 0 or int32(5) < 0 }
rule read_outside { condition: uint32(filesize) == 0 }
rule read_outside_not { condition: not uint32(filesize) == 0 }
rule read_outside_or { condition: uint32(filesize) == 0 or filesize > 100 }
rule arith { condition: (filesize & 3) == 2 or (filesize ^ 1) > 900 or (filesize | 4) == 100 }
rule arith_shift { condition: filesize >> 3 == 10 or 1 << 4 == filesize or ~filesize == -100 }
rule arith_prec { condition: filesize + 2 * 3 == 2 + filesize * 1 + 4 and filesize - 1 < filesize }
rule arith_div0 { condition: filesize \ (filesize - filesize) == 1 or filesize % (filesize & 0) == 0 }
rule arith_div0_not { condition: not (filesize \ (filesize - filesize) == 1) }
rule bool_prec { strings: $a = "eval" $b = "exec" $c = "%" condition: $a or $b and not $c }
rule bool_not { strings: $a = "eval" condition: not $a and not not filesize > 10 }
rule bool_defined { condition: defined uint8(200) }
rule ext_name { condition: filename == "a.php" }
rule ext_contains { condition: filename contains "php" and filepath startswith "/var" and not filename endswith "asp" }
rule ext_icase { condition: filename icontains "PHP" or filename iequals "A.JSP" or filepath istartswith "/VAR" or filepath iendswith "X" }
rule ext_matches { condition: filename matches /^a\.(php|jsp)$/ }
rule ext_matches_i { condition: extension matches /PHP/i and owner == "" and filetype == "php" }
private rule hidden { strings: $a = "eval" condition: $a }
rule uses_hidden { condition: hidden and filesize < 2KB }
rule tagged : one two { meta: a = "x" b = -3 c = true strings: $a = "exec" private condition: $a }
rule string_true { condition: "x" and filesize > 0 }
