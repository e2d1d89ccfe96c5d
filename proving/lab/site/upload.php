<?php require __DIR__ . '/inc/page.php'; head('Add a note');
// Weak on purpose: the name that the client chose is kept, whatever its ending, and the folder
// lies under the web root, where .php files are run.
if ($_SERVER['REQUEST_METHOD'] === 'POST' && isset($_FILES['note'])) {
    $name = basename($_FILES['note']['name']);
    if (move_uploaded_file($_FILES['note']['tmp_name'], __DIR__ . '/{{.UploadDir}}/' . $name)) {
        echo '<p>stored ', htmlspecialchars($name), ' ', (int)$_FILES['note']['size'], ' bytes</p>';
    } else {
        http_response_code(500);
        echo '<p>not stored</p>';
    }
}
?>
<form method="post" enctype="multipart/form-data"><input type="file" name="note"><button>Send</button></form>
<?php foot();
