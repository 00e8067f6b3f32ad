"""What a reader wants: tables, figures and one page that holds them all."""
