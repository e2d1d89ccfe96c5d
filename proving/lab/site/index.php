<?php require __DIR__ . '/inc/page.php'; head('Home'); ?>
<p>A board for short notes. Nothing here is private.</p>
<ul>
<li><a href="/{{.NotesPage}}">All notes</a></li>
<li><a href="/{{.UploadPage}}">Add a note</a></li>
</ul>
<img src="/img/banner.png" alt="banner"><img src="/img/map.png" alt="map">
<p>Notes so far: <?= count(glob(__DIR__ . '/{{.UploadDir}}/*')) ?></p>
<?php foot();
