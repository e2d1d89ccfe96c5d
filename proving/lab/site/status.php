<?php require __DIR__ . '/inc/page.php'; head('Status');
// The administrator's own page: an ordinary request that runs a command and talks to the data
// host with the password of the configuration.
echo '<pre>', htmlspecialchars((string)shell_exec('df -h / 2>/dev/null')), '</pre>';
$config = parse_ini_file('{{.ConfigPath}}');
$redis = @fsockopen($config['host'], (int)$config['port'], $code, $message, 2);
if ($redis) {
    fwrite($redis, "AUTH {$config['password']}\r\nDBSIZE\r\n");
    fgets($redis);
    echo '<p>keys ', htmlspecialchars(trim((string)fgets($redis))), '</p>';
    fclose($redis);
}
foot();
