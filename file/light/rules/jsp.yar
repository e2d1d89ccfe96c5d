// SPDX-License-Identifier: Apache-2.0
// JSP and JSPX web shells.

private rule jsp {
  meta:
    reads = "jsp"
  strings:
    $a = "<%"
    $b = "<jsp:" nocase
    $c = "http://java.sun.com/JSP/Page"
  condition:
    any of them
}

private rule jsp_input {
  meta:
    reads = "jsp"
  strings:
    $a = /request\s{0,2}\.\s{0,2}(getParameter|getHeader|getCookies|getInputStream|getReader|getQueryString|getParameterMap|getPart|getAttribute)/ nocase
    $b = "${param." nocase
    $c = "pageContext" nocase
  condition:
    any of them
}

rule jsp_command {
  meta:
    description = "page that runs a command which the request names"
    technique = "T1505.003"
    reads = "jsp"
    family = "jsp-command"
    score = "0.95"
  strings:
    $exec = /getRuntime\s{0,2}\(\s{0,2}\)\s{0,4}\.\s{0,4}exec\s{0,2}\(/ nocase
    $runtime = /Runtime\s{1,2}\w{1,20}\s{0,2}=\s{0,2}(java\.lang\.)?Runtime\.getRuntime/
    $builder = /(new (java\.lang\.)?ProcessBuilder|ProcessImpl|UNIXProcess|java\.lang\.Runtime["']|java\.lang\.ProcessBuilder["'])/
    $unicode = /\\u00(52|72)\\u0075\\u006e\\u0074\\u0069\\u006d\\u0065/ nocase
    $bytes = /new String\s?\(\s?new byte\s?\[\s?\]\s?\{\s?(106|0x6a|82|0x52|103|0x67)\s?,/
  condition:
    jsp and jsp_input and any of them
}

rule jsp_loads_code {
  meta:
    description = "page that defines a class or evaluates a script from the request"
    technique = "T1505.003"
    reads = "jsp"
    family = "jsp-loader"
    score = "0.95"
  strings:
    $define = /\bdefineClass\b/
    $loader = /(extends\s{1,4}(java\.lang\.)?ClassLoader|URLClassLoader|AccessController|unsafe|Unsafe|BCEL|\$\$BCEL|defineAnonymousClass)/
    $bcel = "$$BCEL$$"
    $url = /new\s+(java\.net\.)?URLClassLoader\s?\(/
    $invoke = /\.(newInstance|invoke|getConstructor)\s?\(/
    $script = /getEngineBy(Name|Extension|MimeType)\s?\([^)\n]{1,40}\)\s{0,4}\.\s{0,4}eval/
    $engine = "ScriptEngineManager"
    $eval = /\.eval\s?\(/
    $el = /(ELProcessor|ExpressionFactory|createValueExpression|SpelExpressionParser|OgnlContext)/
    $deserialize = /new\s+(java\.io\.)?(ObjectInputStream|XMLDecoder)\s?\(/
    $method = /(MethodUtil|MethodAccessor|ReflectionFactory|JdbcRowSetImpl|TemplatesImpl|JavaCompiler|ToolProvider|\bjshell\b|\bMLet\b|NativeLibLoader)/i
  condition:
    jsp and jsp_input and ($define and $loader or $define and $invoke or $bcel or $url and $invoke or $script or $engine and $eval or $el or $deserialize or $method)
}

rule jsp_shell_crypto {
  meta:
    description = "page that decrypts the request and runs it (Behinder, Godzilla)"
    technique = "T1505.003"
    reads = "jsp"
    family = "jsp-crypto"
    score = "0.97"
  strings:
    $aes = /Cipher\.getInstance\s?\(\s?["']AES/
    $define = "defineClass"
    $session = /session\.(putValue|setAttribute)\s?\(\s?["'](u|payload|parameters|sessionId)["']/
    $b64 = /(sun\.misc\.BASE64Decoder|java\.util\.Base64)/
    $equals = /\.newInstance\s?\(\s?\)\s?\.\s?equals\s?\(\s?(pageContext|request)/
  condition:
    jsp and ($aes and $define or $equals or $session and $b64 and $aes)
}

rule jsp_writes_input {
  meta:
    description = "small page that writes request input to a file the request names"
    technique = "T1105"
    reads = "jsp"
    family = "jsp-writer"
    score = "0.92"
  strings:
    $named = /new\s+(java\.io\.)?(FileOutputStream|FileWriter|RandomAccessFile|PrintWriter|File)\s?\(\s?[^;\n]{0,80}request\s?\.\s?getParameter/
    $real = /(getRealPath|getServletPath|[pP]ath\b|\bfile)/
    $out = /new\s+(java\.io\.)?(FileOutputStream|FileWriter|RandomAccessFile|PrintWriter|BufferedWriter)\s?\(/
    $bytes = /request\s?\.\s?getParameter\s?\(\s?["'][^"'\n]{1,20}["']\s?\)\s?\.\s?getBytes/
    $context = /getParameter\s?\(\s?["'](context|content|path|cmd|pwd|pass|data|t|c|f|z0|z1)["']/
  condition:
    jsp and filesize < 5KB and ($named or $out and $bytes or $out and $real and #context > 1)
}

rule jsp_chopper {
  meta:
    description = "server side of a one-password client (China Chopper and kin)"
    technique = "T1505.003"
    reads = "jsp"
    family = "jsp-chopper"
    score = "0.96"
  strings:
    $pwd = /String\s{1,2}(Pwd|PWD|pass|PW)\s{0,2}=\s{0,2}["']/
    $z0 = /getParameter\s?\(\s?["']z[0-3]["']/i
    $arrow = /["']->\|["']/
    $end = /["']\|<-["']/
    $ec = /String\s+EC\s?\(\s?String/
  condition:
    jsp and 3 of them
}

rule jsp_toolbox {
  meta:
    description = "page that gathers what only a shell needs"
    technique = "T1505.003"
    reads = "jsp"
    family = "jsp-toolbox"
    score = "0.95"
  strings:
    $a1 = /cmd(\.exe)?\s?\/c/ nocase
    $a2 = "/bin/sh"
    $a3 = /\.(listFiles|listRoots)\s?\(/
    $a4 = /\.exec\s?\(/
    $a5 = "FileOutputStream"
    $a6 = "ZipOutputStream"
    $a7 = "DriverManager.getConnection"
    $a8 = "ServerSocket"
    $a9 = /new\s+(java\.net\.)?Socket\s?\(/
    $b1 = /(jsp ?spy|jfolder|jspshell|webshell|browser\.jsp|jspdo|silic|ninty|k8cmd|jshell|jsp shell)/ nocase
    $b2 = /hack/ nocase
    $b3 = "password" nocase
    $b4 = /\.(delete|renameTo|mkdirs?)\s?\(/
    $b5 = "getRealPath"
    $b6 = "os.name"
    $b7 = "user.dir"
    $b8 = "setLastModified"
    $b9 = "multipart/form-data"
  condition:
    jsp and (8 of them or $b1 and 5 of them or ($a8 or $a9) and ($a1 or $a2) and $a4)
}
