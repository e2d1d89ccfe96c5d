// SPDX-License-Identifier: Apache-2.0
// Classic ASP and ASP.NET web shells.

private rule server_page {
  meta:
    reads = "asp"
  strings:
    $a = "<%"
    $b = /runat\s{0,4}=\s{0,4}["']?server/ nocase
    $c = /<script[^>]{0,60}language\s{0,4}=\s{0,4}["']?(vbs|jscript|c#|vb)/ nocase
  condition:
    any of them
}

rule asp_input_executed {
  meta:
    description = "request input handed to eval, execute or ExecuteGlobal"
    technique = "T1505.003"
    reads = "asp"
    family = "asp-direct"
    score = "0.97"
  strings:
    $direct = /[^\w.](eval|execute|executeglobal|executestatement)[\s(&"]{1,12}((unescape|decode|cstr|trim|strreverse|chr\s?\(\d{1,3}\))[\s(&"]{1,4}){0,3}request\b/ nocase
    $begin = /<%[\s=:]{0,8}(eval|execute|executeglobal)[\s(]{0,8}request/ nocase
    $wide = /(eval|execute|executeglobal)[\s(]{1,8}request[\s.(]{1,4}(form|querystring|item|\xa1|["'\d#])/ nocase
    $session = /[^\w.](eval|execute|executeglobal)[\s(]{1,8}session\s?\(/ nocase
    $reverse = /(tseuqer lave|tseuqer etucexe|labolgetucexe|tseuqer\(lave)/ nocase
    $jscript = /eval\s{0,4}\(\s{0,4}(System\.Text\.Encoding[^;\n]{1,80})?(Request\.|Request\s?\[|Convert\.FromBase64String)[^;\n]{0,160}["'+\s]{1,6}unsafe/ nocase
    $jscript2 = /eval\s{0,4}\(\s{0,4}Request\.(Item|Form|QueryString|Headers|Cookies)/ nocase
    $script = /\.addcode[\s(]{1,4}request/ nocase
  condition:
    server_page and any of them
}

rule asp_small_eval {
  meta:
    description = "very small page that evaluates a variable"
    technique = "T1505.003"
    reads = "asp"
    family = "asp-small"
    score = "0.93"
  strings:
    $eval = /[^\w.](eval|execute|executeglobal)[\s(&"]{1,8}[a-z_\xa0-\xff(]/ nocase
    $unsafe = /un["'+\s\/*-]{0,20}s["'+\s\/*-]{0,20}a["'+\s\/*-]{0,20}f["'+\s\/*-]{0,20}e/ nocase
    $split = /["']e["'+\s\/*&-]{2,20}v["'+\s\/*&-]{0,20}a["'+\s\/*&-]{0,20}l/ nocase
    $input = /(request|session|strreverse|chr\s?\(|tseuqer|frombase64)/ nocase
    $html = "</table>" nocase
    $bound = "<%#"
    $behind = /(Inherits|CodeBehind|CodeFile|MasterPageFile|TagPrefix)\s{0,2}=/ nocase
    $function = /(function|sub|=)\s{0,2}execute\s{0,2}\(/ nocase
    $proc = /execute\s?\(?\s?(sql|cmd|str|"?(select|insert|update|delete|exec|set|drop|create|alter|backup|sp_|xp_))/ nocase
  condition:
    server_page and filesize < 2KB and ($eval and $input and filesize < 900 or $split or $unsafe and $eval) and not any of ($html, $bound, $behind, $function, $proc)
}

rule asp_encoded {
  meta:
    description = "page whose script is encoded or put together from characters"
    technique = "T1027"
    reads = "asp"
    family = "asp-encoded"
    score = "0.7"
  strings:
    $encode = "VBScript.Encode" nocase
    $jencode = "JScript.Encode" nocase
    $mark = /#@~\^[A-Za-z0-9+\/]{6}==/
    $decode = /execute(global)?\s{0,4}\(?\s{0,4}[a-z_0-9]{1,20}\s{0,2}\(\s{0,2}["']/ nocase
    $chars = /(chr\s?\(\s?\d{2,3}\s?\)\s{0,2}[&+]\s{0,2}){6}/ nocase
  condition:
    server_page and (($mark and any of ($encode, $jencode)) or $decode or $chars)
}

rule asp_decoded_executed {
  meta:
    description = "script that decodes text and executes it"
    technique = "T1027"
    reads = "asp"
    family = "asp-encoded"
    score = "0.92"
  strings:
    $unpack = /[^\w.](execute|executeglobal|eval)\s{0,4}\(?\s{0,4}(unencode|decode|decrypt|uncode|shisan|shisanfun|morficode|unlin|strreverse|lake2|hextostr|ende|unzip|fun|bin2str|mama|rechange|base64_?decode|lcx|dec|un)(\s?["']|\w{0,8}\s?\()/ nocase
    $reverse = /strreverse\s?\(\s?["'][^"'\n]{8}/ nocase
    $run = /[^\w.](execute|executeglobal|eval)[\s(]/ nocase
    $loop = /mid\s?\([^)\n]{1,40}\)[^\n]{0,60}(chr|asc)\s?\(/ nocase
    $vbs = /(execute|executeglobal)\s{0,4}\(?\s{0,4}[a-z_0-9]{1,20}\s{0,2}\(/ nocase
  condition:
    server_page and ($unpack or $run and $reverse or $vbs and $loop)
}

rule asp_shell_toolbox {
  meta:
    description = "page that gathers what only a shell needs"
    technique = "T1505.003"
    reads = "asp"
    family = "asp-toolbox"
    score = "0.95"
  strings:
    $run1 = "wscript.shell" nocase
    $run2 = "shell.application" nocase
    $run3 = "wscript.network" nocase
    $run4 = "72C24DD5-D70A-438B-8A42-98424B88AFB8" nocase
    $run5 = "F935DC22-1CF0-11D0-ADB9-00C04FD58A0B" nocase
    $run6 = "093FF999-1EA0-4079-9525-9614C3504B74" nocase
    $run7 = "0D43FE01-F093-11CF-8940-00A0C9054228" nocase
    $run8 = "13709620-C279-11CE-A49E-444553540000" nocase
    $a1 = "cmd.exe" nocase
    $a2 = "xp_cmdshell" nocase
    $a3 = "regread" nocase
    $a4 = "createtextfile" nocase
    $a5 = "adodb.stream" nocase
    $a6 = "savetofile" nocase
    $a7 = "specialfolders" nocase
    $a8 = "Serv-U" nocase
    $a9 = "servertimeout=9" nocase
    $b1 = "getspecialfolder" nocase
    $b2 = "copyfile" nocase
    $b3 = "movefolder" nocase
    $b4 = "microsoft.xmlhttp" nocase
    $b5 = "on error resume next" nocase
    $b6 = "path_translated" nocase
    $b7 = "webshell" nocase
    $b8 = "netstat" nocase
    $b9 = /net (user|start|localgroup)/ nocase
    $c1 = "pcanywhere" nocase
    $c2 = "terminal server" nocase
    $c3 = ".drives" nocase
    $c4 = "scripting.filesystemobject" nocase
    $c5 = "userpass" nocase
    $c6 = "eval(" nocase
    $c7 = "cmdshell" nocase
    $c8 = "\\cmd" nocase
  condition:
    server_page and any of ($run*) and 8 of ($a*, $b*, $c*)
}

rule asp_command {
  meta:
    description = "page that runs a command which the request names"
    technique = "T1059.003"
    reads = "asp"
    family = "asp-command"
    score = "0.93"
  strings:
    $shell = /createobject\s?\(\s?["']wscript\.shell["']\s?\)/ nocase
    $clsid = /clsid:(72C24DD5|F935DC22)/ nocase
    $exec = /\.(exec|run)\s?\(?\s?("?(%comspec%|cmd|c:\\)|request|["'][^"'\n]{0,40}\/c|sh|cmd|command|str)/ nocase
    $in = /request\b/ nocase
  condition:
    server_page and any of ($shell, $clsid) and $exec and $in
}

rule asp_small_writer {
  meta:
    description = "small page that writes request input to a file of the request's choice"
    technique = "T1105"
    reads = "asp"
    family = "asp-writer"
    score = "0.9"
  strings:
    $fso = "scripting.filesystemobject" nocase
    $stream = "adodb.stream" nocase
    $create = /\.(createtextfile|opentextfile|savetofile)\s{0,2}\(?/ nocase
    $write = /\.(write|writeline|writetext)[\s(]{1,4}["'&\s]{0,4}(request|msg|shell|fdata|[a-z]{1,12}data|content|text|sp\w?|cyf\w{1,8})/ nocase
    $in = /request\s?(\.form|\.querystring)?\s?\(/ nocase
    $path = /(request\s?(\.form|\.querystring)?\s?\(\s?["'](path|filepath|syfdpath|cyfddata|lujing|dir|f|t|d|file|name|filename)["']|up1oad\.asp|(mm|dama|shell|test|xiaoma)\.asp)/ nocase
    $head = /^(GIF8[79]a|\x89PNG|\xff\xd8\xff)/ nocase
  condition:
    server_page and filesize < 3KB and any of ($fso, $stream) and $create and $in and ($write and $path or $head)
}

rule aspx_command {
  meta:
    description = "ASP.NET page that starts a process or loads code from the request"
    technique = "T1505.003"
    reads = "asp"
    family = "aspx-command"
    score = "0.94"
  strings:
    $page = /<%@\s{0,4}(page|webhandler|webservice|control)/ nocase
    $runat = /runat\s{0,4}=\s{0,4}["']?server/ nocase
    $start = /(ProcessStartInfo|Process\.Start|new Process\b|StartInfo\.)/
    $cmd = /(cmd\.exe|powershell|\/bin\/(ba)?sh|["']\/c\s|net user)/ nocase
    $in = /(Request\b|TextBox|\.Text\b|txt\w+\.|\.Value\b)/ nocase
    $load = /Assembly\.Load\s{0,2}\([^;\n]{0,200}(Request|FromBase64|Decrypt|TransformFinalBlock)/ nocase
    $load2 = /\.(TransformFinalBlock|FromBase64String)\s?\([^;\n]{0,120}Request/ nocase
    $native = /(VirtualAlloc|CreateThread|CreateProcessWithLogon|SHELLCODE|WinExec|ShellExecute)\w{0,3}\s?\(/ nocase
    $compile = /(CSharpCodeProvider|CompileAssemblyFromSource)/
  condition:
    ($page or $runat) and ($start and $cmd and $in or $load or $load2 or $native and $in or $compile and $in)
}

rule aspx_toolbox {
  meta:
    description = "ASP.NET page that gathers what only a shell needs"
    technique = "T1505.003"
    reads = "asp"
    family = "aspx-toolbox"
    score = "0.94"
  strings:
    $page = /<%@\s{0,4}(page|webhandler|webservice)/ nocase
    $runat = /runat\s{0,4}=\s{0,4}["']?server/ nocase
    $a1 = "cmd.exe" nocase
    $a2 = "xp_cmdshell" nocase
    $a3 = /Registry(Key)?\b/
    $a4 = /Process(StartInfo|\.Start|\.GetProcesses)/
    $a5 = "TcpClient"
    $a6 = "GetLogicalDrives" nocase
    $a7 = /File\.(Delete|Copy|Move|SetLastWriteTime)/
    $a8 = "Directory.Delete"
    $a9 = "ManagementObjectSearcher"
    $b1 = "DirectoryEntry"
    $b2 = /(aspx ?spy|webadmin|webshell|aspxshell|devilzshell|bin_?(filern|styleb))/ nocase
    $b3 = /hack/ nocase
    $b4 = "SaveAs"
    $b5 = /(oledbconnection|SqlConnection)/ nocase
    $b6 = "FormsAuthentication.HashPasswordForStoringInConfigFile"
    $b7 = "password" nocase
    $b8 = "StreamWriter"
    $b9 = "DirectoryInfo"
  condition:
    ($page or $runat) and 8 of ($a*, $b*) or ($page or $runat) and $b2 and 5 of ($a*, $b*)
}

rule aspx_small_writer {
  meta:
    description = "small ASP.NET page that writes request input to a file"
    technique = "T1105"
    reads = "asp"
    family = "aspx-writer"
    score = "0.9"
  strings:
    $page = /(<%@\s{0,4}(page|webhandler|webservice)|runat\s{0,4}=\s{0,4}["']?server)/ nocase
    $write = /(new (System\.IO\.)?StreamWriter\s?\(|File\.(WriteAllText|WriteAllBytes|CreateText|AppendAllText|Create)\s?\(|\.SaveAs\s?\()/ nocase
    $path = /(Request(\.(Form|QueryString|Item|Params))?\s?\[|Request\.PhysicalPath|(path|file)\w{0,8}\.Text|Server\.MapPath\s?\(\s?["']\.["'])/ nocase
    $class = /(Inherits|CodeBehind|CodeFile|MasterPageFile)\s{0,2}=/ nocase
  condition:
    $page and filesize < 4KB and $write and $path and not $class
}
