// SPDX-License-Identifier: Apache-2.0
// PHP web shells: input that reaches execution, and the hiding of it. score is
// a guess checked by TestRulesOnCorpus; at 0.9 and above a rule convicts alone.

private rule php {
  meta:
    reads = "php"
  strings:
    $open = /<\?(php|=|\s)/ nocase
    $script = /<script[^>]{1,40}language\s{0,4}=\s{0,4}["']?php/ nocase
  condition:
    any of them
}

private rule php_input {
  meta:
    reads = "php"
  strings:
    $a = /_(GET|POST|REQUEST|COOKIE|FILES)\b/
    $b = "php://input" nocase
    $c = /_SERVER\s{0,2}\[\s{0,2}["']?HTTP_/
    $d = "getallheaders" nocase
    $e = "filter_input" nocase
    $f = "get_defined_vars" nocase
  condition:
    any of them
}

rule php_input_executed {
  meta:
    description = "request input handed to code or command execution"
    technique = "T1505.003"
    reads = "php"
    family = "php-direct"
    score = "0.98"
  strings:
    $direct = /[^\w>:$](eval|system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec|create_function)\s*\(\s*(["'.@(\s{]|(\$|\b)[a-z_0-9]{1,30}\s*\(){0,8}\\?\$\{?["']?(_(GET|POST|REQUEST|COOKIE|SERVER\s*\[\s*["']HTTP_|FILES)|HTTP_(GET|POST)_VARS)/ nocase
    $assert = /[^\w>:$]assert\s*\(\s*(["'.@(\s{]|(base64_decode|stripslashes|urldecode|str_rot13|gzinflate|trim)\s*\(){0,6}\$\{?["']?_(GET|POST|REQUEST|COOKIE)/ nocase
    $tick = /[=(\s;]`\s{0,4}\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^\]`\n]{1,30}[\]}]\s{0,4}(2>&1)?\s{0,4}`\s{0,4};/ nocase
    $second = /[^\w>:$](create_function|popen|proc_open|assert|eval|system|passthru|shell_exec|exec)\s*\(\s*["'][^"'\n]{0,30}["']\s*[.,]\s*\$\{?_(GET|POST|REQUEST|COOKIE)/ nocase
    $stream = /[^\w>:$](eval|assert|system|passthru)\s*\(\s*["'@(\s.?><]*([a-z_0-9]{1,30}\s*\(\s*){0,4}(file_get_contents|fread|fgets|stream_get_contents)\s*\(\s*["']php:\/\/input/ nocase
    $globals = /[^\w>:$](eval|assert|system|passthru)\s*\(\s*\$GLOBALS\s*\[\s*["']_(GET|POST|REQUEST|COOKIE)/ nocase
  condition:
    php and any of them
}

rule php_input_called {
  meta:
    description = "request input used as a function name"
    technique = "T1505.003"
    reads = "php"
    family = "php-varfunc"
    score = "0.97"
  strings:
    $a = /\$\{?["']?_(GET|POST|REQUEST|COOKIE)["']?\}?\s*(\[[^\]\n]{0,40}\]|\{[^}\n]{1,40}\})\s*\(/ nocase
    $b = /\(\s*\$\w{1,20}\s*=\s*@?\s*\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]\n]{0,40}\]\s*\)\s*\.?\s*@?\$\w{1,20}\s*\(/ nocase
  condition:
    php and any of them
}

rule php_input_callback {
  meta:
    description = "request input as callback or as argument of an executing callback"
    technique = "T1505.003"
    reads = "php"
    family = "php-callback"
    score = "0.95"
  strings:
    $named = /(array_map|array_filter|array_walk|array_walk_recursive|array_reduce|call_user_func|call_user_func_array|register_shutdown_function|register_tick_function|forward_static_call_array|forward_static_call|ob_start|usort|uasort|uksort|array_diff_ukey|array_udiff|array_uintersect|iterator_apply|set_error_handler|mb_ereg_replace_callback|preg_replace_callback)\s*\(\s*(array\s*\(\s*)?["']?(assert|system|eval|exec|passthru|shell_exec|popen)["']\s*[,)]/ nocase
    $input = /[^>:\w](array_map|call_user_func|call_user_func_array|register_shutdown_function|register_tick_function|forward_static_call|ob_start)\s*\(\s*@?(base64_decode\s*\(\s*|str_rot13\s*\(\s*)?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $last = /(uasort|uksort|usort|array_filter|array_walk|array_udiff|array_diff_ukey|array_map|array_reduce|ReflectionFunction|setFetchMode|sqliteCreateFunction|createFunction|FETCH_FUNC)[^;\n]{0,80}["'](assert|system|passthru|shell_exec|eval)["']\s*[,)]/ nocase
    $lambda = /create_function\s*\(\s*["'][^"'\n]{0,30}["']\s*,\s*["'](return\s+)?@?(eval|assert|system)\s*\(\s*\$/ nocase
  condition:
    php and php_input and any of them
}

rule php_preg_eval {
  meta:
    description = "regular expression replace that executes its replacement"
    technique = "T1505.003"
    reads = "php"
    family = "php-preg"
    score = "0.95"
  strings:
    $input = /preg_(replace|filter)\s*\(\s*["'][^"'\n]{1,80}[\/|#~}][imsxuADSUXJ]*e[imsxuADSUXJ]*["']\s*,\s*@?([a-z_0-9]{1,30}\s*\(\s*){0,3}["']?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $code = /preg_(replace|filter)\s*\(\s*["'][^"'\n]{1,80}[\/|#~}][imsxu]*e[imsxu]*["']\s*,\s*["']?@?(eval|assert|system|base64_decode|gzinflate|str_rot13|\\x|\\1["'],)/ nocase
    $name = /preg_(replace|filter)\s*\(\s*["']?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $hex = /preg_replace\s*\(\s*["'][^"'\n]{1,40}e["']\s*,\s*["'](\\x[0-9a-f]{2}){4}/ nocase
    $mb = /mb_eregi?_replace\s*\([^;\n]{1,120},\s*["'][imsx]{0,4}e[imsx]{0,4}["']\s*\)/ nocase
  condition:
    php and any of them
}

rule php_packed_eval {
  meta:
    description = "eval of a chain of decoders"
    technique = "T1027"
    reads = "php"
    family = "php-packed"
    score = "0.93"
  strings:
    $chain = /[^\w>:$](eval|assert)\s*\(\s*["'?><.\s@(]{0,12}((gzinflate|gzuncompress|gzdecode|str_rot13|strrev|rawurldecode|urldecode|convert_uudecode|hex2bin|base64_decode|trim|stripslashes)\s*\(\s*){2}/ nocase
    $once = /[^\w>:$](eval|assert)\s*\(\s*["'?><.\s@(]{0,12}(gzinflate|gzuncompress|gzdecode|str_rot13|strrev|convert_uudecode|hex2bin|base64_decode)\s*\(\s*(["'$]|[a-z0-9+\/]{40}|implode|str_replace|file_get_contents)/ nocase
    $create = /create_function\s*\(\s*["']{0,2}[$a-z]{0,12}["']?\s*,\s*@?(base64_decode|gzinflate|pack|str_rot13|strrev)\s*\(/ nocase
    $dropped = /base64_decode\s*\(\s*["']PD9waH/
    $var = /[^\w>:$](eval|assert)\s*\(\s*["'?><.\s@(]{0,12}\$[a-z_0-9]{1,30}\s*\(\s*@?(\$[a-z_0-9]{1,30}\s*\(|str_replace|base64_decode|gzinflate|strrev|substr|["'][a-z0-9+\/=]{30})/ nocase
    $concat = /[^\w>:$]eval\s*\(\s*["']\?>["']\s*\.\s*@?(gz|base64_|str_rot|\$[a-z_]{1,20}\()/ nocase
  condition:
    php and any of them
}

rule php_hidden_name {
  meta:
    description = "name of an executing function spelled so that nobody finds it"
    technique = "T1027"
    reads = "php"
    family = "php-hidden"
    score = "0.95"
  strings:
    $rot13 = /["'](nffreg|flfgrz|cnffgueh|onfr64_qrpbqr|tmvasyngr|riny\s*\(|riny|furyy_rkrp|perngr_shapgvba|fgeeri)/
    $reverse = /["'](edoced_4["'. ]{0,5}6["'. ]{0,5}esab|tressa|metsys|urhtssap|cexe_llehs|etalfnizg|noitcnuf_etaerc|TSOP_|TEG_|TSEUQER_)["']/
    $hex = /(\\x65\\x76\\x61\\x6c|\\x61\\x73\\x73\\x65\\x72\\x74|\\x62\\x61\\x73\\x65\\x36\\x34|\\x73\\x79\\x73\\x74\\x65\\x6d|\\x5f\\x50\\x4f\\x53\\x54|\\x5f\\x47\\x45\\x54|\\x5f\\x52\\x45\\x51|\\x70\\x61\\x73\\x73\\x74\\x68\\x72\\x75|\\x67\\x7a\\x69\\x6e\\x66)/ nocase
    $octal = /(\\145\\166\\141\\154|\\141\\163\\163\\145\\162\\164|\\142\\141\\163\\145\\66\\64|\\163\\171\\163\\164\\145\\155|\\137\\120\\117\\123\\124)/
    $globals = /\$\{\s{0,2}["'](\\x47|G|\\107)(\\x4c|L|\\114)(\\x4f|O|\\117)(\\x42|B|\\102)(\\x41|A|\\101)(\\x4c|L|\\114)(\\x53|S|\\123)["']\s{0,2}\}\s{0,2}\[/ nocase
    $split_assert = /["'](a["']\s*\.\s*["']s["'. ]{0,6}s["'. ]{0,6}e["'. ]{0,6}r["'. ]{0,6}t|as["']\s*\.\s*["']s["'. ]{0,6}e["'. ]{0,6}r["'. ]{0,6}t|ass["']\s*\.\s*["']e["'. ]{0,6}r["'. ]{0,6}t|asse["']\s*\.\s*["']r["'. ]{0,6}t|asser["']\s*\.\s*["']t)["']/ nocase
    $split_eval = /["'](e["']\s*\.\s*["']v["'. ]{0,6}a["'. ]{0,6}l|ev["']\s*\.\s*["']a["'. ]{0,6}l|eva["']\s*\.\s*["']l)["'(]/ nocase
    $split_system = /["'](s["']\s*\.\s*["']y["'. ]{0,6}s["'. ]{0,6}t["'. ]{0,6}e["'. ]{0,6}m|sy["']\s*\.\s*["']s["'. ]{0,6}t["'. ]{0,6}e["'. ]{0,6}m|sys["']\s*\.\s*["']te["'. ]{0,6}m|syst["']\s*\.\s*["']em)["']/ nocase
    $split_base64 = /["'](b["']\s*\.\s*["']a["'. ]{0,6}s["'. ]{0,6}e["'. ]{0,6}6|ba["']\s*\.\s*["']s["'. ]{0,6}e["'. ]{0,6}6|bas["']\s*\.\s*["']e["'. ]{0,6}6|base["']\s*\.\s*["']64["'. ]{0,6}_|base6["']\s*\.\s*["']4["'. ]{0,6}_|base64_["']\s*\.\s*["']d)/ nocase
    $split_input = /["'](_["']\s*\.\s*["']P["'. ]{0,6}O|_P["']\s*\.\s*["']O|_PO["']\s*\.\s*["']S|_POS["']\s*\.\s*["']T|_G["']\s*\.\s*["']E|_GE["']\s*\.\s*["']T|_R["']\s*\.\s*["']E|_RE["']\s*\.\s*["']Q)/
    $split_create = /["'](c["']\s*\.\s*["']r["'. ]{0,6}e["'. ]{0,6}a|cr["']\s*\.\s*["']e["'. ]{0,6}a|cre["']\s*\.\s*["']a["'. ]{0,6}t|crea["']\s*\.\s*["']te["'. ]{0,6}_|create_["']\s*\.\s*["']f|gzin["']\s*\.\s*["']fl|gz["']\s*\.\s*["']inf)/ nocase
    $sum = /["']base["']\s*\.\s*\(\s*\d{1,4}\s*[*\/+-]\s*\d{1,4}\s*\)\s*\.\s*["']_/ nocase
    $deep = /\beval\s*\(\s*\(?\s*\$\$[a-z_0-9]{1,20}\s*\(/ nocase
    $oh = /\$[O0]{8,12}\s{0,2}=\s{0,2}urldecode\s{0,2}\(/
    $chars = /chr\s*\(\s*(97|101|115|95|98)\s*\)\s*\.\s*chr\s*\(\s*(115|118|121|97|80|71)\s*\)\s*\.\s*chr\s*\(\s*\d{1,3}\s*\)\s*\.\s*chr\s*\(\s*\d{1,3}\s*\)/ nocase
    $mixed = /chr\s*\(\s*\d{2,3}\s*\)\s*\.\s*["'](\\x[0-9a-f]{2}|[a-z])["']\s*\.\s*(chr\s*\(\s*\d{2,3}\s*\)|["'](\\x[0-9a-f]{2}|[a-z])["'])\s*\./ nocase
  condition:
    php and any of them
}

rule php_letters_by_index {
  meta:
    description = "function names put together from letters of a string"
    technique = "T1027"
    reads = "php"
    family = "php-hidden"
    score = "0.95"
  strings:
    $a = /(\[\d{1,2}\] ?\. ?\$[a-z0-9_]{1,20}){7}\[\d{1,2}\]/ nocase
    $b = /(\{\d{1,2}\} ?\. ?\$[a-z0-9_]{1,20}){7}\{\d{1,2}\}/ nocase
    $weevely = /=\s{0,2}str_replace\s{0,2}\(\s{0,2}["'][^"'\n]{1,6}["']\s{0,2},\s{0,2}["']{2}\s{0,2},\s{0,2}["'][a-z_0-9]{14,60}["']\s{0,2}\)\s{0,2};/ nocase
    $globals = /\$GLOBALS\s{0,2}\[\s{0,2}["'][_a-z0-9]{3,20}["']\s{0,2}\]\s{0,2}=\s{0,2}array\s{0,2}\(\s{0,2}base64_decode/ nocase
  condition:
    php and any of them
}

rule php_no_letters {
  meta:
    description = "code made of operators on characters instead of letters"
    technique = "T1027"
    reads = "php"
    family = "php-nonalnum"
    score = "0.95"
  strings:
    $xor = /\(?\s{0,2}["'][^"'\na-z]{1,12}["']\s{0,2}\^\s{0,2}["'][^"'\n]{1,12}["']\s{0,2}\)?\s{0,2}[.;)]/
    $not = /=\s{0,2}~\s{0,2}["'{(]{1,2}[\x80-\xff]{2,60}["')}.;]/
    $inc = /\$_{1,6}\s{0,2}(\+\+|\.=|=\s{0,2}\$_{1,6}|\[\s{0,2}\]\s{0,2}=)/
    $plus = /\+\+\s{0,2}\$_{1,6}[^\w]/
  condition:
    php and (#xor > 1 or $not or #inc + #plus > 5)
}

rule php_small_dynamic {
  meta:
    description = "very small page that runs a variable on request input"
    technique = "T1505.003"
    reads = "php"
    family = "php-small"
    score = "0.93"
  strings:
    $call = /[;{(\s@=.?]\$\{?[a-z_0-9]{1,20}\}?\s{0,2}\(\s{0,2}@?["'$]/ nocase
    $eval = /[^\w>:$](eval|assert|system|shell_exec|passthru|popen|proc_open|create_function)\s{0,4}\(\s{0,4}[@"']?\$/ nocase
    $exec = /[^\w>:$]exec\s{0,4}\(\s{0,4}[@"']?\$/ nocase
    $name = /["'](assert|shell_exec|passthru|create_function)["']/
    $first = /[^>:\w](array_map|call_user_func|call_user_func_array|register_shutdown_function|register_tick_function|ob_start|forward_static_call|usort|uasort|uksort)\s{0,2}\(\s{0,2}(@?\$[a-z_0-9]{1,20}\s{0,2}[,)]|\.\.\.)/ nocase
    $second = /[^>:\w](usort|uasort|uksort|array_walk|array_filter|array_reduce|iterator_apply|array_udiff|array_diff_ukey)\s{0,2}\(\s{0,2}[^;\n]{1,60},\s{0,2}@?\$[a-z_0-9]{1,20}\s{0,2}[,)]/ nocase
    $class = /(->createFunction|sqliteCreateFunction|FETCH_FUNC|new ReflectionFunction|new ReflectionClass|getDocComment|FILTER_CALLBACK|CallbackFilterIterator)/ nocase
    $regex = /["'][^"'\n]{1,40}[\/|#]e["']\s{0,2}[,;)]/
    $oop = /(\n|;|<\?php\s)\s{0,4}(namespace|use)\s{1,4}[A-Z]/
  condition:
    php and php_input and filesize < 1400 and any of ($call, $eval, $exec, $name, $first, $second, $class, $regex) and not $oop
}

rule php_eval_near_input {
  meta:
    description = "small page with request input and an evaluated or executed variable"
    technique = "T1505.003"
    reads = "php"
    family = "php-small"
    score = "0.7"
  strings:
    $eval = /[^\w>:$](eval|assert|system|shell_exec|passthru|popen|proc_open|create_function)\s{0,4}\(\s{0,4}[@"']?\$/ nocase
    $callback = /[^>:\w](array_map|call_user_func|call_user_func_array|register_shutdown_function|ob_start)\s{0,4}\(\s{0,2}@?\$|FILTER_CALLBACK/ nocase
  condition:
    php and php_input and filesize < 5KB and any of them
}

rule php_input_written {
  meta:
    description = "request input written to a file or included"
    technique = "T1505.003"
    reads = "php"
    family = "php-dropper"
    score = "0.75"
  strings:
    $write = /[^\w>:$](file_put_contents|fwrite|fputs)\s*\(\s*@?(fopen\s*\([^;\n]{1,80}|\$\w{1,20}|["'][^"'\n]{1,40}["'])\s*,\s*@?([a-z_0-9]{1,30}\s*\(\s*){0,3}["']?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $name = /[^\w>:$](file_put_contents|fopen|copy)\s*\(\s*["']?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    $include = /[^\w>:$](include|require)(_once)?\s*\(?\s*@?["']?\$_(GET|POST|REQUEST|COOKIE|FILES)/ nocase
  condition:
    php and any of them
}

rule php_small_uploader {
  meta:
    description = "small page that stores an upload under the name the client gave"
    technique = "T1105"
    reads = "php"
    family = "php-uploader"
    score = "0.8"
  strings:
    $files = /\$(_FILES|HTTP_POST_FILES)/
    $store = /[^\w>:$](move_uploaded_file|copy|file_put_contents)\s*\(/ nocase
    $form = /<(form|input)\b/ nocase
    $class = /\n\s{0,8}(abstract\s|final\s)?(class|namespace|interface)\s/
  condition:
    php and filesize < 2KB and $files and $store and $form and not $class
}

rule php_shell_toolbox {
  meta:
    description = "page that gathers what only a shell needs"
    technique = "T1505.003"
    reads = "php"
    family = "php-toolbox"
    score = "0.95"
  strings:
    $a1 = "posix_getpwuid" nocase
    $a2 = "disable_functions" nocase
    $a3 = "safe_mode" nocase
    $a4 = "/etc/passwd"
    $a5 = "php_uname" nocase
    $a6 = "shell_exec" nocase fullword
    $a7 = "passthru" nocase fullword
    $a8 = "proc_open" nocase fullword
    $a9 = /back.?connect/ nocase
    $b1 = /bind.?(port|shell)/ nocase
    $b2 = "/bin/sh"
    $b3 = "cmd.exe" nocase
    $b4 = "uname -a"
    $b5 = "fsockopen" nocase
    $b6 = "open_basedir" nocase
    $b7 = /eval\s{0,2}\(/ nocase
    $b8 = /\bsystem\s{0,2}\(/ nocase
    $b9 = /\bpopen\s{0,2}\(/ nocase
    $c1 = "move_uploaded_file" nocase
    $c2 = "disk_total_space" nocase
    $c3 = /mysql_(connect|query|list_dbs)/ nocase
    $c4 = /\bchmod\s{0,2}\(/ nocase
    $c5 = "getcwd" nocase
    $c6 = "base64_decode" nocase
    $c7 = "@error_reporting" nocase
    $c8 = "set_time_limit(0)" nocase
    $c9 = "ini_restore" nocase
    $d1 = "php shell" nocase
    $d2 = /(web|php)shell/ nocase
    $d3 = /hack(ed|er)/ nocase
    $d4 = "backdoor" nocase
    $d5 = /exploit/ nocase
  condition:
    php and php_input and filesize < 400KB and 4 of ($a*, $b*) and 11 of them
}

rule php_shell_name {
  meta:
    description = "name that a known web shell gives itself"
    technique = "T1505.003"
    reads = "php"
    family = "php-named"
    score = "0.95"
  strings:
    $n1 = /\b(c99|r57|c100|b374k|wso|idx|alfa|indoxploit|mini|0byt3m1n1|marijuana|locus7s|ani-|simattacker|nst|n3t|pws|dkshell|gny|sosyete|crystal|antichat|nfm|ctt|cyber)[ _-]?(shell|sh|madshell|web ?shell|backdoor)\b/ nocase
    $n2 = "FilesMan" fullword
    $n3 = /(php ?spy|phpspy|jfolder|aspxspy|webadmin\.php|b4tm4n|safe0ver|dc3 ?security|predator|k-?shell|lolipop\.php|zacosmall|stnc webshell)/ nocase
    $n7 = /\b(php|asp) ?(backdoor|web ?shell|reverse ?shell)\b|small shell|shell auto xploiter|bypass root path|priv8|madleets|iranian hackers/ nocase
    $n4 = /(web|php) ?shell (by|v\.?\d|coded|version|password)/ nocase
    $n5 = /hacked by|coded by .{1,30} (hack|team|crew)|h4ck|h4x0r|greetz? (to|:)|defac(e|ed|ement)/ nocase
    $n6 = /\xe5\xa4\xa7\xe9\xa9\xac|\xe5\xb0\x8f\xe9\xa9\xac|\xe6\x9c\xa8\xe9\xa9\xac|\xe6\x8f\x90\xe6\x9d\x83|\xb4\xf3\xc2\xed|\xd0\xa1\xc2\xed|\xc4\xbe\xc2\xed|\xcc\xe1\xc8\xa8|webshell/ nocase
    $run = /[^\w>:$](eval|assert|system|exec|shell_exec|passthru|popen|proc_open|create_function|preg_replace|move_uploaded_file|fwrite|fputs|file_put_contents|gzinflate)\s{0,4}\(/ nocase
  condition:
    php and $run and filesize < 400KB and (2 of ($n*) or $n1 or $n2)
}
