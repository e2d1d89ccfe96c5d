// SPDX-License-Identifier: Apache-2.0
// Files by which an intruder stays or earns: keys, preload, units, miners.

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

// The rules for programs write one letter of each string as a class, so that a
// program which holds these rules as text, as ours does, is not what they find.

rule elf_miner {
  meta:
    description = "program that speaks a mining pool's protocol"
    technique = "T1496"
    family = "miner"
    score = "0.95"
  strings:
    $stratum = /stratum\+(tcp|tcps|ssl|udp):\/\//
    $wire = /"method"\s?:\s?"(login|submit|mining\.(submit|subscribe|authorize))"/
    $algo = /(cryptonigh[t]|random[x]|rx\/0|argon2\/chukwa|cn\/r|ghostride[r])/
    $xmrig = /xmri[g]/ nocase
    $donate = /donate[-]level/
  condition:
    uint32(0) == 0x464c457f and any of ($stratum, $wire) and any of ($algo, $xmrig, $donate)
}

rule elf_packed_upx {
  meta:
    description = "program packed with UPX: rare in a distribution, usual in malware"
    technique = "T1027.002"
    family = "packed"
    score = "0.6"
  strings:
    $mark = /UP[X]!/
    $info = /\$Info: This file is packed with the UP[X]/
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
    $a1 = /\/bin\/busybo[x]/ fullword
    $a2 = "/proc/net/tcp"
    $a3 = "watchdog"
    $a4 = /(tftp|wget)\s{1,2}[^\n\x00]{0,80}-O\s?-?\s?>?/
    $b1 = /(MIRA[I]|GAFGY[T]|LOLNOGTF[O]|HITEC[H]|Tsunam[i]|kaite[n]|PERKEL[E]|BCM ?ATTAC[K])/
    $b2 = /(UDP|TCP|STD|SYN|ACK|HTTP|JUNK|VSE|OVH|GRE)(FLOOD| flood| Flood)/
    $b3 = /!\* SCANNE[R]/
    $b4 = /TSource Engine Quer[y]/
    $b5 = /POST \/HNAP[1]\//
    $b6 = /POST \/GponFor[m]/
    $b7 = /Content-Length: 43[0]|SOAPAction: urn:schemas-upnp-or[g]/
    $c1 = /GET \/cdn-cgi\/l\/chk_captcha/
    $c2 = /npxXoudifFeEgGaACSc[s]/
    $c3 = /dvrHelpe[r]/
  condition:
    uint32(0) == 0x464c457f and (2 of ($b*) and 3 of them or any of ($c*))
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
    $meter = /mettl[e]/
    $meter2 = /meterprete[r]/ nocase
  condition:
    uint32(0) == 0x464c457f and filesize < 4MB and ($dev or $fifo or $meter and $meter2)
}

rule elf_shell_line {
  meta:
    description = "large program with a shell command line for the network among its texts, as scanners have"
    technique = "T1059.004"
    family = "reverse-shell"
    score = "0.6"
  strings:
    $dev = /bash\s{1,2}-i\s{0,2}>&\s{0,2}\/dev\/tcp\//
    $fifo = /mkfifo [^\x00\n]{1,60}\|\s?\/bin\/(ba)?sh -i/
  condition:
    uint32(0) == 0x464c457f and filesize >= 4MB and any of them
}

rule authorized_keys_planted {
  meta:
    description = "command that adds a key to authorized_keys"
    technique = "T1098.004"
    reads = "script"
    family = "persistence"
    score = "0.6"
  strings:
    $echo = /(echo|printf)\s{1,4}[^\n]{0,40}ssh-(rsa|ed25519|dss)\s[A-Za-z0-9+\/=]{40,}[^\n]{0,120}>>?\s{0,4}\S{0,80}authorized_keys/
    $fetch = /(curl|wget)\s[^\n]{1,200}(>>?|-O\s?|-o\s?)\s{0,4}\S{0,80}authorized_keys/
    $chattr = /chattr\s{1,4}[+-]i[a]?\s[^\n]{0,80}authorized_keys/
  condition:
    any of them
}

rule preload_planted {
  meta:
    description = "ld.so.preload written by a script, or naming a library in a place anyone can write"
    technique = "T1574.006"
    reads = "script"
    family = "persistence"
    score = "0.92"
  strings:
    $write = /(echo|printf|cat|cp|mv)\s[^\n]{0,120}(>>?|\s)\s{0,4}\/etc\/ld\.so\.preload/
    $place = /^(\/tmp|\/var\/tmp|\/dev\/shm|\/home|\/root|\/usr\/local\/lib\/\.)\S{0,120}\.so/
  condition:
    $write or filename == "ld.so.preload" and $place
}

rule unit_runs_hidden_file {
  meta:
    description = "systemd unit, rc file or profile that starts a hidden or temporary program"
    technique = "T1543.002"
    reads = "script"
    family = "persistence"
    score = "0.9"
  strings:
    $exec = /(^|\n)Exec(Start|StartPre|Reload)\s{0,2}=\s{0,2}-?(\/bin\/(ba)?sh\s{1,2}(-c\s{1,2})?)?["']?\/(tmp|var\/tmp|dev\/shm)\//
    $hidden = /(^|\n)Exec(Start|StartPre)\s{0,2}=\s{0,2}-?\/\S{0,60}\/\.[a-z]\S{0,60}/
    $call = /(^|\n)Exec(Start|StartPre)\s{0,2}=[^\n]{0,120}(\/dev\/tcp\/|(curl|wget)\s[^\n]{1,120}\|\s{0,4}(ba)?sh)/
  condition:
    filesize < 64KB and any of them
}

// Places where programs are started from by themselves. Packages put files there every
// day, and those are known by their manifests before any rule reads them; what is left
// is an administrator's or an intruder's, and worth a line in the story of an incident.

rule job_of_no_package {
  meta:
    description = "scheduled job that belongs to no package"
    technique = "T1053.003"
    family = "persistence"
    score = "0.1"
  condition:
    filepath startswith "/etc/cron" or filepath startswith "/var/spool/cron/"
}

rule unit_of_no_package {
  meta:
    description = "service or start-up file that belongs to no package"
    technique = "T1543.002"
    family = "persistence"
    score = "0.1"
  condition:
    filepath startswith "/etc/systemd/system/" or filepath startswith "/etc/init.d/" or filepath startswith "/etc/profile.d/"
    or filepath startswith "/lib/systemd/system/" or filepath startswith "/usr/lib/systemd/system/" or filepath == "/etc/rc.local"
}

rule keys_that_log_in {
  meta:
    description = "keys that may log in were changed"
    technique = "T1098.004"
    family = "persistence"
    score = "0.1"
  condition:
    filepath endswith "/.ssh/authorized_keys" or filepath endswith "/.ssh/authorized_keys2"
}
