"""What people are told of the errors of geo.*: of the image, and of the place that it was given."""

from __future__ import annotations

from taskyard.catalogue.words import Words

IMAGE_ERRORS: dict[str, Words] = {
    "image_unsupported": {
        "en": "This file is no image that can become a raster. Use PNG, JPEG or TIFF.",
        "de": "Diese Datei ist kein Bild, das zu einem Raster werden kann. Nehmen Sie PNG, JPEG oder TIFF.",
        "fr": "Ce fichier n'est pas une image dont on puisse faire un raster. Utilisez PNG, JPEG ou TIFF.",
        "hu": "Ez a fájl nem olyan kép, amelyből raszter készülhet. Használjon PNG, JPEG vagy TIFF formátumot.",
    },
    "image_damaged": {
        "en": "The image is damaged or not complete. Upload it again.",
        "de": "Das Bild ist beschädigt oder nicht vollständig. Laden Sie es neu hoch.",
        "fr": "L'image est endommagée ou incomplète. Téléversez-la de nouveau.",
        "hu": "A kép sérült vagy nem teljes. Töltse fel újra.",
    },
    "image_too_large": {
        "en": "The image has more than {limit} million pixels, or a side of more than {side}. Cut it into parts.",
        "de": "Das Bild hat mehr als {limit} Millionen Pixel, oder eine Seite von mehr als {side}. Zerteilen Sie es.",
        "fr": "L'image compte plus de {limit} millions de pixels, ou un côté de plus de {side}. Découpez-la.",
        "hu": "A kép több mint {limit} millió képpontból áll, vagy egyik oldala hosszabb, mint {side}. Darabolja fel.",
    },
    "raster_too_large": {
        "en": "The image has more than {limit} GiB when it is decoded, or more than {bands} bands. Cut it into parts,"
        " or leave bands out.",
        "de": "Das Bild hat dekodiert mehr als {limit} GiB, oder mehr als {bands} Kanäle. Zerteilen Sie es, oder lassen"
        " Sie Kanäle weg.",
        "fr": "L'image décodée dépasse {limit} Gio, ou compte plus de {bands} bandes. Découpez-la, ou retirez des"
        " bandes.",
        "hu": "A kép kicsomagolva nagyobb, mint {limit} GiB, vagy több mint {bands} sávja van. Darabolja fel, vagy"
        " hagyjon el sávokat.",
    },
    "image_needs_memory": {
        "en": "This image can only be decoded as a whole, which takes more memory than there is for it here. Save it"
        " without interlacing (PNG), not progressive (JPEG), or in tiles (TIFF).",
        "de": "Dieses Bild lässt sich nur als Ganzes dekodieren, und das braucht mehr Speicher, als es hier dafür gibt."
        " Speichern Sie es ohne Interlacing (PNG), nicht progressiv (JPEG) oder in Kacheln (TIFF).",
        "fr": "Cette image ne peut être décodée qu'en entier, ce qui demande plus de mémoire qu'il n'y en a ici pour"
        " cela. Enregistrez-la sans entrelacement (PNG), non progressive (JPEG) ou en tuiles (TIFF).",
        "hu": "Ez a kép csak egészben dekódolható, amihez több memória kell, mint amennyi itt erre rendelkezésre áll."
        " Mentse váltottsoros mód nélkül (PNG), nem progresszíven (JPEG) vagy csempékben (TIFF).",
    },
    "colours_unsupported": {
        "en": "The colours of this image cannot be kept: it is in CMYK or Lab, raw from a sensor, or a mask, has"
        " a palette of 16 bits, or colours that are multiplied by their alpha. Save it as RGB.",
        "de": "Die Farben dieses Bildes lassen sich nicht erhalten: Es ist in CMYK oder Lab, roh von einem Sensor"
        " oder eine Maske, hat eine Palette mit 16 Bit oder mit Alpha multiplizierte Farben. Speichern Sie es als RGB.",
        "fr": "Les couleurs de cette image ne peuvent être conservées : elle est en CMJN ou en Lab, brute d'un capteur,"
        " ou un masque, a une palette de 16 bits, ou des couleurs multipliées par leur alpha. Enregistrez-la en RVB.",
        "hu": "A kép színei nem őrizhetők meg: CMYK vagy Lab színterű, egy érzékelő nyers adata vagy maszk, 16 bites"
        " palettája van, vagy a színei alfával szorzottak. Mentse RGB formában.",
    },
    "values_unsupported": {
        "en": "The bands of this image hold complex numbers, or are of different types. Save it with one real type.",
        "de": "Die Kanäle dieses Bildes enthalten komplexe Zahlen oder sind von verschiedenem Typ. Speichern Sie es mit"
        " einem reellen Typ.",
        "fr": "Les bandes de cette image contiennent des nombres complexes, ou sont de types différents."
        " Enregistrez-la avec un seul type réel.",
        "hu": "A kép sávjai komplex számokat tartalmaznak, vagy különböző típusúak. Mentse egyetlen valós típussal.",
    },
    "raster_takes_too_long": {
        "en": "Decoding this image takes too long. Save it again with another program, or cut it into parts.",
        "de": "Dieses Bild zu dekodieren dauert zu lange. Speichern Sie es neu mit einem anderen Programm, oder"
        " zerteilen Sie es.",
        "fr": "Le décodage de cette image prend trop de temps. Enregistrez-la avec un autre programme, ou découpez-la.",
        "hu": "A kép dekódolása túl sokáig tart. Mentse újra egy másik programmal, vagy darabolja fel.",
    },
    "no_room_for_raster": {
        "en": "There is no room for temporary files now. It is tried again; if that goes on, ask the operator.",
        "de": "Für temporäre Dateien ist jetzt kein Platz. Es wird wieder versucht; bleibt es dabei, fragen Sie den"
        " Betreiber.",
        "fr": "Il n'y a pas de place pour les fichiers temporaires pour l'instant. Un nouvel essai aura lieu ; si cela"
        " persiste, adressez-vous à l'exploitant.",
        "hu": "Most nincs hely az ideiglenes fájloknak. Újra próbálkozunk; ha továbbra sem sikerül, forduljon az"
        " üzemeltetőhöz.",
    },
    "raster_incomplete": {
        "en": "The raster was not written as a whole. It is tried again; if that goes on, ask the operator.",
        "de": "Das Raster wurde nicht ganz geschrieben. Es wird wieder versucht; bleibt es dabei, fragen Sie den"
        " Betreiber.",
        "fr": "Le raster n'a pas été écrit en entier. Un nouvel essai aura lieu ; si cela persiste, adressez-vous à"
        " l'exploitant.",
        "hu": "A raszter nem íródott ki teljesen. Újra próbálkozunk; ha továbbra sem sikerül, forduljon az"
        " üzemeltetőhöz.",
    },
    "content_changed": {
        "en": "The file got another content meanwhile. It is tried again with that.",
        "de": "Die Datei hat inzwischen einen anderen Inhalt bekommen. Es wird mit diesem wieder versucht.",
        "fr": "Le fichier a reçu entre-temps un autre contenu. Un nouvel essai aura lieu avec celui-ci.",
        "hu": "A fájl közben más tartalmat kapott. Azzal újra próbálkozunk.",
    },
    "already_converted": {
        "en": "The file is a raster already, in another place than was asked for now. Upload the image again to give it"
        " another one.",
        "de": "Die Datei ist schon ein Raster und liegt woanders als jetzt gewünscht. Laden Sie das Bild neu hoch, um"
        " ihm einen anderen Ort zu geben.",
        "fr": "Le fichier est déjà un raster, situé ailleurs que demandé maintenant. Téléversez de nouveau l'image pour"
        " lui donner une autre place.",
        "hu": "A fájl már raszter, és máshol fekszik, mint amit most kértek. Töltse fel újra a képet, ha más helyet"
        " szeretne adni neki.",
    },
}

PLACE_ERRORS: dict[str, Words] = {
    "not_placed": {
        "en": "The file itself does not say where it lies. Give bounds or control points, and a crs with either.",
        "de": "Die Datei selbst sagt nicht, wo sie liegt. Geben Sie bounds oder control_points an, und dazu ein crs.",
        "fr": "Le fichier ne dit pas lui-même où il se situe. Indiquez bounds ou control_points, avec un crs.",
        "hu": "A fájl maga nem mondja meg, hol fekszik. Adjon meg bounds vagy control_points értéket, és hozzá crs-t.",
    },
    "crs_unknown": {
        "en": "No coordinate reference system {crs} is known here. Use one like EPSG:3857.",
        "de": "Ein Koordinatensystem {crs} ist hier nicht bekannt. Nehmen Sie eines wie EPSG:3857.",
        "fr": "Aucun système de coordonnées {crs} n'est connu ici. Utilisez-en un comme EPSG:3857.",
        "hu": "Itt nem ismerünk {crs} koordináta-rendszert. Használjon olyat, mint az EPSG:3857.",
    },
    "crs_unusable": {
        "en": "The system {crs} does not describe places by x and y. Use a projected one, or one of longitude and"
        " latitude.",
        "de": "Das System {crs} beschreibt Orte nicht durch x und y. Nehmen Sie ein projiziertes, oder eines mit Länge"
        " und Breite.",
        "fr": "Le système {crs} ne décrit pas des lieux par x et y. Utilisez-en un projeté, ou un de longitude et"
        " latitude.",
        "hu": "A(z) {crs} rendszer nem x és y értékkel írja le a helyeket. Használjon vetületit, vagy hosszúságot és"
        " szélességet megadót.",
    },
    "crs_westing": {
        "en": "The system {crs} counts to the west, so that bounds would turn or mirror the image. Give control"
        " points, or bounds in a CRS of easting and northing.",
        "de": "Das System {crs} zählt nach Westen; Grenzen würden das Bild darin drehen oder spiegeln. Geben Sie"
        " control_points an, oder bounds in einem Koordinatensystem mit Ost- und Nordwert.",
        "fr": "Le système {crs} compte vers l'ouest ; des limites y tourneraient l'image ou l'inverseraient. Indiquez"
        " control_points, ou bounds dans un système de coordonnées est et nord.",
        "hu": "A(z) {crs} rendszer nyugat felé számol, ezért a határok elforgatnák vagy tükröznék a képet. Adjon meg"
        " control_points értéket, vagy bounds értéket keleti és északi koordinátájú rendszerben.",
    },
    "bounds_invalid": {
        "en": "The bounds enclose nothing. Give the least x, the least y, the greatest x and the greatest y; an image"
        " across the 180th meridian needs a CRS without a break there.",
        "de": "Die Grenzen umschließen nichts. Geben Sie das kleinste x, das kleinste y, das größte x und das größte y"
        " an; ein Bild über den 180. Längengrad braucht ein Koordinatensystem, das dort nicht bricht.",
        "fr": "Les limites n'entourent rien. Indiquez le plus petit x, le plus petit y, le plus grand x et le plus"
        " grand y ; une image qui passe le 180e méridien demande un système sans rupture à cet endroit.",
        "hu": "A határok nem zárnak be semmit. Adja meg a legkisebb x, a legkisebb y, a legnagyobb x és a legnagyobb y"
        " értéket; a 180. hosszúsági körön átnyúló képhez olyan rendszer kell, amely ott nem szakad meg.",
    },
    "place_outside": {
        "en": "The image would lie outside of what {crs} describes. Look whether the numbers belong to this CRS.",
        "de": "Das Bild läge außerhalb dessen, was {crs} beschreibt. Sehen Sie nach, ob die Zahlen zu diesem"
        " Koordinatensystem gehören.",
        "fr": "L'image se situerait en dehors de ce que {crs} décrit. Vérifiez si les nombres relèvent de ce système.",
        "hu": "A kép azon kívül feküdne, amit {crs} leír. Nézze meg, hogy a számok ehhez a rendszerhez tartoznak-e.",
    },
    "place_mirrored": {
        "en": "The image would lie mirrored. Look whether x and y, or row and col, are swapped, and whether it lies"
        " across the 180th meridian, which needs a CRS without a break there.",
        "de": "Das Bild läge spiegelverkehrt. Sehen Sie nach, ob x und y oder row und col vertauscht sind und ob es"
        " über dem 180. Längengrad liegt; dafür braucht es ein Koordinatensystem, das dort nicht bricht.",
        "fr": "L'image serait inversée comme dans un miroir. Vérifiez si x et y, ou row et col, sont échangés, et si"
        " elle passe le 180e méridien, ce qui demande un système sans rupture à cet endroit.",
        "hu": "A kép tükrözve feküdne. Nézze meg, hogy x és y, vagy row és col nincs-e felcserélve, és hogy nem"
        " nyúlik-e át a 180. hosszúsági körön; ahhoz olyan rendszer kell, amely ott nem szakad meg.",
    },
}

PLACE_ERRORS |= {
    "control_point_outside": {
        "en": "Control point {number} is not in the image, which has {width} columns and {height} rows. Correct it.",
        "de": "Passpunkt {number} liegt nicht im Bild, das {width} Spalten und {height} Zeilen hat. Berichtigen Sie"
        " ihn.",
        "fr": "Le point de contrôle {number} n'est pas dans l'image, qui a {width} colonnes et {height} lignes."
        " Corrigez-le.",
        "hu": "A(z) {number}. illesztőpont nincs a képen, amelynek {width} oszlopa és {height} sora van. Javítsa ki.",
    },
    "control_points_too_close": {
        "en": "Control points {first} and {second} are less than a pixel apart. Leave one of them out.",
        "de": "Die Passpunkte {first} und {second} sind weniger als ein Pixel voneinander entfernt. Lassen Sie einen"
        " weg.",
        "fr": "Les points de contrôle {first} et {second} sont à moins d'un pixel l'un de l'autre. Retirez-en un.",
        "hu": "A(z) {first}. és a(z) {second}. illesztőpont egy képpontnál közelebb van egymáshoz. Hagyja el az"
        " egyiket.",
    },
    "control_points_collinear": {
        "en": "The control points lie on one line, in the image or on the map. Add one that lies well beside it.",
        "de": "Die Passpunkte liegen auf einer Linie, im Bild oder auf der Karte. Fügen Sie einen hinzu, der deutlich"
        " daneben liegt.",
        "fr": "Les points de contrôle sont sur une même ligne, dans l'image ou sur la carte. Ajoutez-en un qui en soit"
        " bien écarté.",
        "hu": "Az illesztőpontok egy vonalon fekszenek, a képen vagy a térképen. Adjon hozzá egyet, amely jóval"
        " mellette van.",
    },
    "control_points_disagree": {
        "en": "Control point {number} lies {pixels} pixels from where the others put it; {limit} are allowed. Correct"
        " the points, or give the CRS in which the map is drawn.",
        "de": "Passpunkt {number} liegt {pixels} Pixel von dort, wohin ihn die anderen setzen; {limit} sind erlaubt."
        " Berichtigen Sie die Punkte, oder geben Sie das Koordinatensystem an, in dem die Karte gezeichnet ist.",
        "fr": "Le point de contrôle {number} est à {pixels} pixels de là où les autres le placent ; {limit} sont admis."
        " Corrigez les points, ou indiquez le système dans lequel la carte est dessinée.",
        "hu": "A(z) {number}. illesztőpont {pixels} képpontra van onnan, ahová a többi teszi; {limit} megengedett."
        " Javítsa ki a pontokat, vagy adja meg azt a rendszert, amelyben a térkép készült.",
    },
    "control_points_at_pole": {
        "en": "The control points lie around a pole, where this CRS has no place for the image. Use a polar one, such"
        " as EPSG:3413 (north) or EPSG:3031 (south).",
        "de": "Die Passpunkte liegen um einen Pol, wo dieses Koordinatensystem keinen Platz für das Bild hat. Nehmen"
        " Sie ein polares wie EPSG:3413 (Norden) oder EPSG:3031 (Süden).",
        "fr": "Les points de contrôle entourent un pôle, où ce système n'a pas de place pour l'image. Utilisez un"
        " système polaire, comme EPSG:3413 (nord) ou EPSG:3031 (sud).",
        "hu": "Az illesztőpontok egy pólus körül fekszenek, ahol ebben a rendszerben nincs helye a képnek. Használjon"
        " polárist, például EPSG:3413 (észak) vagy EPSG:3031 (dél).",
    },
}
