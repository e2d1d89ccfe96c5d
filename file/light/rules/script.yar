// SPDX-License-Identifier: Apache-2.0
// Reverse shells, droppers and stealers in scripts and in the files that start
// them.

// Two rules on lines of a shell: what stands in a comment is not run, and each
// comment counts one such line. In a program of another language the line must
// be a string, and something must be called that could run it.

rule shell_reverse_dev_tcp {
  meta:
    description = "shell whose input and output are a network connection (/dev/tcp)"
    technique = "T1059.004"
    reads = "shell"
    family = "reverse-shell"
    score = "0.95"
  strings:
    $bash = /\b(ba|z|k|da)?sh\s{1,4}(-[a-z]{1,4}\s{1,4}){0,3}(0<&\d{1,3}|[>&<0-2 ]{1,6})\s{0,4}\/dev\/(tcp|udp)\//
    $hash = /(^|\n)[ \t]{0,80}#[^\n]{0,1000}\b(ba|z|k|da)?sh\s{1,4}(-[a-z]{1,4}\s{1,4}){0,3}(0<&\d{1,3}|[>&<0-2 ]{1,6})\s{0,4}\/dev\/(tcp|udp)\//
    $exec = /exec\s{1,4}\d{1,3}<>\s{0,4}\/dev\/(tcp|udp)\/[^\s;]{3,80}/
    $back = /(0<&|<&|>&)\s{0,2}\d{1,3}[^\n]{0,40}(2>&|>&)\s{0,2}\d{1,3}/
    $encoded = /echo\s{1,4}["']?YmFzaCAt[A-Za-z0-9+\/=]{10,400}["']?\s{0,4}\|\s{0,4}base64\s{1,4}-(d|-decode)/
  condition:
    $bash and #bash > #hash or $encoded or $exec and $back
}

rule shell_reverse_netcat {
  meta:
    description = "netcat, socat, telnet or openssl that hands a shell to the network"
    technique = "T1059.004"
    reads = "shell"
    family = "reverse-shell"
    score = "0.93"
  strings:
    $nc = /\b(nc|ncat|netcat|nc\.traditional|nc\.openbsd)\s{1,4}([^\n;|&#]{0,80}\s)?-[a-z]{0,4}(e|c)\s{1,4}["']?(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh\b/
    $hash = /(^|\n)[ \t]{0,80}#[^\n]{0,1000}\b(nc|ncat|netcat|nc\.traditional|nc\.openbsd)\s{1,4}([^\n;|&#]{0,80}\s)?-[a-z]{0,4}(e|c)\s{1,4}["']?(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh\b/
    $fifo = /mk(fifo|nod)\s{1,4}[^\n]{1,120}\|\s{0,4}(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh\s{0,4}(-i)?\s{0,4}[^\n]{0,60}\|\s{0,4}(nc|ncat|netcat|telnet|openssl|socat)\b/
    $telnet = /telnet\s{1,4}\S{3,60}\s{1,4}\d{1,5}\s{0,4}\|\s{0,4}(\/bin\/)?(ba)?sh\s{0,4}\|\s{0,4}telnet/
    $socat = /socat\s{1,4}[^\n]{0,120}exec:["']{0,2}(\/bin\/)?(ba|da)?sh/ nocase
    $pipe = /\b(ba)?sh\s{1,4}-i\s{0,4}(2>&1)?\s{0,4}\|\s{0,4}(nc|ncat|netcat)\s/
  condition:
    $nc and #nc > #hash or any of ($fifo, $telnet, $socat, $pipe)
}

rule program_starts_reverse_shell {
  meta:
    description = "program that starts a shell whose input and output are a network connection"
    technique = "T1059"
    reads = "script"
    family = "reverse-shell"
    score = "0.93"
  strings:
    $tcp = /["'`{\[][^"'`\n]{0,80}(ba|z|k|da)?sh\s{1,4}(-[a-z]{1,4}\s{1,4}){0,3}[>&<0-2 ]{1,6}\s{0,4}\/dev\/(tcp|udp)\//
    $nc = /["'`{\[][^"'`\n]{0,80}\b(nc|ncat|netcat|nc\.traditional|nc\.openbsd)\s{1,4}([^\n;|&#]{0,80}\s)?-[a-z]{0,4}(e|c)\s{1,4}["']?(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh\b/
    $fifo = /["'`{\[][^"'`\n]{0,80}mk(fifo|nod)\s{1,4}[^\n]{1,120}\|\s{0,4}(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh\s{0,4}(-i)?\s{0,4}[^\n]{0,60}\|\s{0,4}(nc|ncat|netcat|telnet|openssl|socat)\b/
    $call = /\b((system|exec\w{0,4}|popen\w?|spawn\w{0,4}|shell_exec|passthru|proc_open|check_output|getoutput)(\(|\s{1,2}["'])|subprocess\.\w|qx\s?[\/({])/ nocase
  condition:
    $call and any of ($tcp, $nc, $fifo)
}

rule script_reverse_shell {
  meta:
    description = "script that ties a socket to standard input and output and starts a shell"
    technique = "T1059"
    reads = "script"
    family = "reverse-shell"
    score = "0.92"
  strings:
    $py_socket = /\bsocket\.socket\s?\(/
    $py_connect = /\.connect\s?\(\s?\(/
    $py_dup = /(os\.)?dup2\s?\(\s?[^\n]{0,40}fileno\s?\(\s?\)/
    $py_pty = "pty.spawn"
    $py_sh = /(subprocess\.(call|Popen|run)|os\.system|pty\.spawn)\s?\(\s?\[?\s?["'](\/bin\/)?(ba)?sh/
    $pl_socket = /\b(socket\s{0,2}\(\s?\w{1,12}\s?,|IO::Socket::INET\s?->\s?new)/
    $pl_dup = /open\s?\(?\s?(STDIN|STDOUT|STDERR)\s?,\s?["']?[<>]{1,2}&/
    $pl_sh = /(exec|system)\s{0,4}[({]?\s{0,4}["']?(\/bin\/)?(ba)?sh\b/
    $pl_fd = /->fdopen\s?\(\s?\$\w{1,10}\s?,\s?["']?[rw]/
    $rb = /TCPSocket\.(new|open)[^\n]{1,120}(exec|IO\.popen|sprintf)/
    $php = /fsockopen\s?\([^\n]{1,120}(exec|proc_open|shell_exec|system|popen)\s?\([^\n]{0,40}sh\b/
    $lua = /socket\.tcp\s?\(\)[^\n]{1,200}(io\.popen|os\.execute)/
    $awk = /\/inet\/(tcp|udp)\/0\/[^\n]{1,200}getline/
    $node = /child_process["']\)[^\n]{0,200}(spawn|exec)\s?\(\s?["'](\/bin\/)?(ba)?sh[^\n]{0,200}\.pipe\s?\(/
  condition:
    $py_socket and $py_connect and $py_dup and ($py_sh or $py_pty) or
    $pl_socket and ($pl_dup or $pl_fd) and $pl_sh or
    any of ($rb, $php, $lua, $awk, $node)
}

rule download_and_run {
  meta:
    description = "fetches a script and pipes it into a shell without looking"
    technique = "T1105"
    reads = "script"
    family = "dropper"
    score = "0.6"
  strings:
    $pipe = /\b(curl|wget)\s{1,4}[^\n|;]{3,200}\|\s{0,4}(sudo\s{1,4})?(\/bin\/|\/usr\/bin\/)?(ba|da|z)?sh\b/
    $sub = /\b(ba)?sh\s{1,4}(-c\s{1,4})?["']?[<$]\(\s?(curl|wget)\s/
    $python = /\b(curl|wget)\s{1,4}[^\n|;]{3,200}\|\s{0,4}(python[23]?|perl|php)\b/
  condition:
    any of them
}

rule cron_fetches_code {
  meta:
    description = "cron entry that fetches code and runs it, or calls back"
    technique = "T1053.003"
    reads = "script"
    family = "persistence"
    score = "0.93"
  strings:
    $fetch = /(^|\n|["'(])\s{0,4}((\*|\d{1,2})(\/\d{1,2})?(,\d{1,2}){0,8}\s{1,4}){2}[\d*\/,-]{1,8}\s{1,4}[\d*\/,-]{1,8}\s{1,4}[\d*\/,-]{1,8}\s{1,4}(root\s{1,4}|\w{1,12}\s{1,4})?[^\n]{0,80}(curl|wget|lwp-download|fetch)\s[^\n]{1,200}(\|\s{0,4}(ba|da)?sh\b|;\s{0,4}(ba)?sh\s|&&\s{0,4}(ba)?sh\s|&&\s{0,4}chmod\s|\/tmp\/)/
    $dev = /(^|\n|["'(])\s{0,4}((\*|\d{1,2})(\/\d{1,2})?\s{1,4}){2}[\d*\/,-]{1,8}\s{1,4}[\d*\/,-]{1,8}\s{1,4}[\d*\/,-]{1,8}\s[^\n]{0,80}\/dev\/tcp\//
    $reboot = /@reboot\s{1,4}[^\n]{0,80}(curl|wget)\s[^\n]{1,200}\|\s{0,4}(ba)?sh\b/
    $hidden = /(^|\n)\s{0,4}(@reboot|@hourly|(\*|\d{1,2})(\/\d{1,2})?(\s{1,4}[\d*\/,-]{1,8}){4})\s{1,4}(root\s{1,4})?(\/bin\/(ba)?sh\s{1,4}(-c\s{1,4})?)?["']?\/(tmp|dev\/shm|var\/tmp)\/\./
  condition:
    any of them
}

rule dropper_script {
  meta:
    description = "script that fetches binaries for many machines, runs and hides them"
    technique = "T1105"
    reads = "script"
    family = "dropper"
    score = "0.94"
  strings:
    $get = /\b(wget|curl|tftp|ftpget)\s[^\n]{0,120}(https?|ftp):\/\/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}/
    $busybox = /busybox\s{1,4}(wget|tftp|ftpget)\s/
    $chmod = /chmod\s{1,4}(\+x|7[57][57]|777)\s/
    $run = /(;|&&|\n)\s{0,4}\.\/[\w.*-]{1,40}/
    $rm = /rm\s{1,4}-rf?\s{1,4}[\w.*\/$-]{1,60}/
    $cd = /cd\s{1,4}\/tmp\s{0,4}\|\|\s{0,4}cd\s/
    $hist = /(history\s{1,2}-c|HISTFILE\s?=\s?\/dev\/null|unset\s{1,2}HISTFILE|>\s?\/var\/log\/(wtmp|lastlog|secure|messages))/
    $kill = /(pkill|killall|kill)\s{1,4}(-9|-f|-KILL)\s[^\n]{0,60}(xmrig|minerd|kinsing|kdevtmpfsi|cryptonight|stratum|watchbog|ddgs|masscan)/
    $miner = /(stratum\+(tcp|ssl):\/\/|xmrig|minerd\b|--donate-level|cryptonight|nicehash|supportxmr|minexmr|c3pool)/ nocase
    $tool = /(chattr\s{1,4}[+-][iae]{1,3}\s|ld\.so\.preload|\/dev\/shm\/)/
  condition:
    filesize < 300KB and (
      ($get or $busybox) and $chmod and $run and ($rm or $cd or $hist) or
      $kill or $miner and ($get or $chmod or $tool or $hist) and ($run or $tool or $hist))
}

rule python_hidden_exec {
  meta:
    description = "Python that executes decoded or downloaded code in one breath"
    technique = "T1059.006"
    reads = "py"
    family = "py-stealer"
    score = "0.9"
  strings:
    $b64 = /\b(exec|eval)\s?\(\s?(compile\s?\(\s?)?(__import__\s?\(\s?["'](base64|zlib|marshal|codecs)["']\s?\)\s?\.|base64\.|zlib\.|marshal\.|codecs\.|bytes\.fromhex|b64decode|b32decode|a85decode|decompress|loads|Fernet)/
    $lambda = /\(?lambda\s?_{1,4}\s?:\s?__import__\s?\(\s?["'](zlib|base64|marshal)["']/
    $get = /\b(exec|eval)\s?\(\s?(requests\.get|urllib\.request\.urlopen|urlopen|__import__\s?\(\s?["'](requests|urllib))/
    $fernet = /exec\s?\(\s?(cryptography\.fernet\.)?Fernet\s?\(\s?b?["']/
    $builtins = /(__builtins__|__import__\s?\(\s?["']builtins["']\s?\))\s?[.)\]]{0,2}[^\n]{0,40}(exec|eval)[^\n]{0,40}(decode|decompress|loads|fromhex)/
    $powershell = /(subprocess\.(Popen|call|run|check_output)|os\.(system|popen))\s?\(\s?[rbf]{0,2}["'\[]{1,3}\s?powershell[^\n]{0,80}(-enc|-e\s|EncodedCommand|Invoke-WebRequest|DownloadFile|iwr|WindowStyle Hidden)/ nocase
    $hidden = /(,|;)\s{60,}(import|exec|eval|from|__import__)\b/
    $token = /(discord(app)?\.com\/api\/webhooks|api\.telegram\.org\/bot)/
    $steal = /(Local State|Login Data|leveldb|wallet\.dat|os\.getlogin|getpass\.getuser|socket\.gethostname|os\.environ)/
  condition:
    any of ($b64, $lambda, $get, $fernet, $builtins, $powershell, $hidden) or $token and $steal
}

rule setup_py_calls_home {
  meta:
    description = "Python package installer that reports the host or runs what it downloads"
    technique = "T1195.002"
    reads = "py"
    family = "py-stealer"
    score = "0.7"
  strings:
    $setup = /\bsetup\s?\(/
    $install = /(cmdclass|\binstall\)|from setuptools\.command|install\.run)/
    $net = /(requests\.(get|post)|urlopen|urlretrieve|http\.client|socket\.socket|wget\.download|\bcurl\b)/
    $act = /(os\.system|subprocess|exec\s?\(|Popen|startfile|gethostname|getlogin|getuser|os\.environ|platform\.node)/
  condition:
    filesize < 200KB and $setup and $install and $net and $act
}

rule perl_cgi_shell {
  meta:
    description = "Perl CGI page that runs what the request names, or an IRC bot"
    technique = "T1505.003"
    reads = "pl"
    family = "pl-shell"
    score = "0.92"
  strings:
    $perl = /(^#!.{0,40}perl|use (strict|CGI|Socket|IO::Socket)|\$ENV\{)/
    $cgi = /(Content-type:\s?text\/html|\$ENV\{\s?["']?QUERY_STRING|\bparam\s?\(|CGI->new|new CGI)/ nocase
    $run = /(`\$\w{1,20}[^`\n]{0,40}`|\bsystem\s{0,2}\(?\s?["']?\$|\bopen\s?\(\s?\w{1,20}\s?,\s?["']\s?\$?\w{0,20}[^"'\n]{0,60}\|\s?["']|\bexec\s{0,2}\(?\s?["']?\$|qx\/\$)/
    $form = /name=\\?["']?(cmd|command|c|exec|password|p|action)\\?["'\s]/ nocase
    $irc = /PRIVMSG\s/
    $nick = /NICK\s/
    $join = /JOIN\s/
    $flood = /(udpflood|tcpflood|httpflood|portscan|@udp|@tcp|\bgoogle\b.{0,20}scan)/ nocase
    $name = /(perl ?shell|cgi-?telnet|webshell|reverse-?shell|backconnect|back connect|data ?cha0s|shellbot|dc\.pl|connect back)/ nocase
    $socket = /(IO::Socket|use Socket|PF_INET)/
    $sh = /(\/bin\/(ba)?sh|cmd\.exe)/
  condition:
    $perl and filesize < 300KB and ($cgi and $run and $form or $irc and $nick and $join and ($flood or $sh or $run) or $name and ($run or $sh or $socket))
}

rule python_web_shell {
  meta:
    description = "Python CGI or WSGI page that runs what the request names"
    technique = "T1505.003"
    reads = "py"
    family = "py-shell"
    score = "0.9"
  strings:
    $form = /(cgi\.FieldStorage|form\.getvalue|environ\s?\[\s?["']QUERY_STRING|request\.(args|form|values)|self\.rfile\.read)/
    $direct = /(os\.popen|os\.system|subprocess\.(Popen|call|check_output|getoutput|run)|commands\.getoutput)\s?\(\s?(str\(\s?)?(form\b|request\.|unquote|self\.(path|headers|rfile))/
    $assign = /\b(cmd|command|c)\s?=\s?[^;\n]{0,60}(getvalue|form\[|QUERY_STRING|request\.(args|form|values)|rfile\.read|unquote)/
    $run = /(os\.popen|os\.system|subprocess\.(Popen|call|check_output|getoutput|run)|commands\.getoutput)\s?\(\s?(str\(\s?)?(cmd|command|c)\b/
    $cgi = /(cgi\.FieldStorage|environ\s?\[\s?["']QUERY_STRING)/
    $shell = /(os\.popen|os\.system|commands\.getoutput)\s?\(\s?(cmd|command|c)\b|\.(Popen|call|check_output|run)\s?\(\s?(cmd|command|c)\s?,\s?shell\s?=\s?True/
  condition:
    filesize < 60KB and ($form and ($direct or $assign and $run) or $cgi and $shell)
}

rule python_page_runs_command {
  meta:
    description = "Python page that takes a request and runs a command: an administrator's tool does so too"
    technique = "T1059.006"
    reads = "py"
    family = "py-shell"
    score = "0.6"
  strings:
    $form = /(cgi\.FieldStorage|form\.getvalue|environ\s?\[\s?["']QUERY_STRING|request\.(args|form|values))/
    $run = /(os\.popen|os\.system|subprocess\.(Popen|call|check_output|getoutput|run)|commands\.getoutput)\s?\(\s?(cmd|command|c|form|request|self\.|str\(|unquote)/
    $name = /(cmd|command|shell|password)/ nocase
  condition:
    filesize < 60KB and $form and $run and $name and not python_web_shell
}
