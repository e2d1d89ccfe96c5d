// SPDX-License-Identifier: Apache-2.0
// Files by which an intruder stays or earns: keys, preload, units, miners.

private rule text {
  condition:
    // Programs and archives hold such lines as data; only what an interpreter
    // or a daemon reads as text is meant.
    uint32(0) != 0x464c457f and uint16(0) != 0x5a4d and uint32(0) != 0x04034b50
}

rule eicar_test_file {
  meta:
    description = "EICAR test file (eicar.org): proof that scanning works"
    technique = "T1204.002"
    family = "eicar"
    score = "1.0"
  strings:
    $a = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
  condition:
    $a at 0 and filesize < 129
}

rule elf_miner {
  meta:
    description = "program that speaks a mining pool's protocol"
    technique = "T1496"
    family = "miner"
    score = "0.95"
  strings:
    $stratum = /stratum\+(tcp|tcps|ssl|udp):\/\//
    $login = "\"method\":\"login\""
    $submit = "mining.submit"
    $subscribe = "mining.subscribe"
    $algo = /(cryptonight|randomx|rx\/0|argon2\/chukwa|cn\/r|ghostrider)/
    $xmrig = "xmrig" nocase
    $donate = "donate-level"
  condition:
    uint32(0) == 0x464c457f and ($stratum and ($algo or $xmrig or $donate) or 3 of them)
}

rule elf_packed_upx {
  meta:
    description = "program packed with UPX: rare in a distribution, usual in malware"
    technique = "T1027.002"
    family = "packed"
    score = "0.6"
  strings:
    $mark = "UPX!"
    $info = "$Info: This file is packed with the UPX"
  condition:
    uint32(0) == 0x464c457f and ($info or #mark > 1 and $mark in (0..4096))
}

rule elf_bot {
  meta:
    description = "program with the commands of a flooding bot"
    technique = "T1498"
    family = "bot"
    score = "0.95"
  strings:
    $a1 = "/bin/busybox" fullword
    $a2 = /(MIRAI|GAFGYT|LOLNOGTFO|HITECH|Tsunami|kaiten|PERKELE|BCM ?ATTACK)/
    $a3 = /(UDP|TCP|STD|SYN|ACK|HTTP|JUNK|VSE|OVH|GRE)(FLOOD| flood| Flood)/
    $a4 = "!* SCANNER"
    $a5 = "/proc/net/tcp"
    $a6 = /TSource Engine Query/
    $a7 = "watchdog"
    $a8 = /GET \/cdn-cgi\/l\/chk_captcha/
    $a9 = /(tftp|wget)\s{1,2}[^\n\x00]{0,80}-O\s?-?\s?>?/
    $b1 = "POST /HNAP1/"
    $b2 = "POST /GponForm"
    $b3 = "npxXoudifFeEgGaACScs"
    $b4 = "dvrHelper"
    $b5 = /Content-Length: 430|SOAPAction: urn:schemas-upnp-org/
  condition:
    uint32(0) == 0x464c457f and (4 of them or any of ($a8, $b3, $b4))
}

rule elf_reverse_shell {
  meta:
    description = "small program that carries a shell command line for the network"
    technique = "T1059.004"
    family = "reverse-shell"
    score = "0.9"
  strings:
    $dev = /bash\s{1,2}-i\s{0,2}>&\s{0,2}\/dev\/tcp\//
    $fifo = /mkfifo [^\x00\n]{1,60}\|\s?\/bin\/(ba)?sh -i/
    $meter = "mettle"
    $meter2 = "meterpreter" nocase
  condition:
    uint32(0) == 0x464c457f and ($dev or $fifo or $meter and $meter2)
}

rule authorized_keys_planted {
  meta:
    description = "command that adds a key to authorized_keys"
    technique = "T1098.004"
    family = "persistence"
    score = "0.6"
  strings:
    $echo = /(echo|printf)\s{1,4}[^\n]{0,40}ssh-(rsa|ed25519|dss)\s[A-Za-z0-9+\/=]{40,}[^\n]{0,120}>>?\s{0,4}\S{0,80}authorized_keys/
    $fetch = /(curl|wget)\s[^\n]{1,200}(>>?|-O\s?|-o\s?)\s{0,4}\S{0,80}authorized_keys/
    $chattr = /chattr\s{1,4}[+-]i[a]?\s[^\n]{0,80}authorized_keys/
  condition:
    text and (any of them)
}

rule preload_planted {
  meta:
    description = "ld.so.preload written by a script, or naming a library in a place anyone can write"
    technique = "T1574.006"
    family = "persistence"
    score = "0.92"
  strings:
    $write = /(echo|printf|cat|cp|mv)\s[^\n]{0,120}(>>?|\s)\s{0,4}\/etc\/ld\.so\.preload/
    $place = /^(\/tmp|\/var\/tmp|\/dev\/shm|\/home|\/root|\/usr\/local\/lib\/\.)\S{0,120}\.so/
  condition:
    text and ($write or filename == "ld.so.preload" and $place)
}

rule unit_runs_hidden_file {
  meta:
    description = "systemd unit, rc file or profile that starts a hidden or temporary program"
    technique = "T1543.002"
    family = "persistence"
    score = "0.9"
  strings:
    $exec = /(^|\n)Exec(Start|StartPre|Reload)\s{0,2}=\s{0,2}-?(\/bin\/(ba)?sh\s{1,2}(-c\s{1,2})?)?["']?\/(tmp|var\/tmp|dev\/shm)\//
    $hidden = /(^|\n)Exec(Start|StartPre)\s{0,2}=\s{0,2}-?\/\S{0,60}\/\.[a-z]\S{0,60}/
    $call = /(^|\n)Exec(Start|StartPre)\s{0,2}=[^\n]{0,120}(\/dev\/tcp\/|(curl|wget)\s[^\n]{1,120}\|\s{0,4}(ba)?sh)/
  condition:
    text and (filesize < 64KB and any of them)
}
