<?php require __DIR__ . '/inc/page.php'; head('Notes');
$query = (string)($_GET['q'] ?? '');
echo '<form><input name="q" value="', htmlspecialchars($query), '"><button>Search</button></form><ul>';
foreach (glob(__DIR__ . '/{{.UploadDir}}/*') as $file) {
    $name = basename($file);
    if ($query !== '' && stripos($name . (string)file_get_contents($file, false, null, 0, 4096), $query) === false) {
        continue;
    }
    echo '<li><a href="/{{.UploadDir}}/', rawurlencode($name), '">', htmlspecialchars($name), '</a> ', filesize($file), "</li>\n";
}
echo '</ul>'; foot();
