"""What an embedded store alone needs: one owner, and inserts that a kill cannot leave half done."""
