"""How questions are put: several wordings of each kind.

No wording holds the name of an emoji of ``gf/emoji-noto@1``, or questions about other cards would name it: so there is an image
and not a picture, an arm and not a robot, a block and not a cube (a test compares them).
"""

from __future__ import annotations

_BOX = "Answer with a box [x1, y1, x2, y2] in thousandths of the image."
_CM = "Use whole centimetres."

PHRASES: dict[str, tuple[str, ...]] = {
    "name-at": (
        "What does the {position} card show?",
        "What can be seen on the {position} card?",
        "Name what the {position} card shows.",
        "Look at the {position} card. What is drawn on it?",
    ),
    "name-in-box": (
        "What does the card at {box} show?",
        "What is drawn on the card in the box {box}?",
        "Name what can be seen within {box}.",
    ),
    "name-all": (
        "Name the cards from left to right.",
        "What do the cards show, from the left to the right of the image?",
        "Read the cards from left to right.",
    ),
    "which": (
        "Which card shows the {label}? Answer {options}.",
        "Where is the card with the {label}: {options}?",
        "The {label} is on one of the cards. On which one: {options}?",
        "Find the {label}. Is it on the card at the {options}?",
    ),
    "present": (
        "Does one of the cards show the {label}? Answer yes or no.",
        "Is there a card with the {label}, yes or no?",
        "Can the {label} be seen on a card? Answer yes or no.",
    ),
    "order": (
        "Is the card with the {label} to the left or to the right of the card with the {other}?",
        "Compared with the {other}, is the {label} further to the left or to the right of the image? Answer left or right.",
        "Looking at the image, which side of the {other} is the {label} on, left or right?",
    ),
    "nearest": (
        "Which card is the block closest to?",
        "What does the card closest to the block show?",
        "Name the card that the block is nearest to.",
    ),
    "nearer-base": (
        "Which is nearer to the base of the arm, the {label} or the {other}?",
        "Two cards show the {label} and the {other}. Which of them is closer to the arm's base?",
        "Of the {label} and the {other}, which lies at the smaller distance from the arm's base?",
    ),
    "resting": (
        "Does the block lie on a card? Answer yes or no.",
        "Is the block lying on one of the cards, yes or no?",
        "Has the block been laid on a card? Answer yes or no.",
    ),
    "box-card": (
        f"Where is the card with the {{label}}? {_BOX}",
        f"Draw a box around the card that shows the {{label}}. {_BOX}",
        f"Locate the card with the {{label}}. {_BOX}",
    ),
    "box-block": (
        f"Where is the block? {_BOX}",
        f"Draw a box around the block. {_BOX}",
        f"Locate the small dark blue block. {_BOX}",
    ),
    "point-gripper": (
        "Where is the middle between the fingertips of the gripper? Answer with [x, y] in thousandths of the image.",
        "Point at the spot where the gripper's fingertips would meet. Answer with [x, y] in thousandths of the image.",
    ),
    "box-all": (
        "Locate every card, from left to right: what it shows, and its box [x1, y1, x2, y2] in thousandths of the image.",
        "List the cards from left to right, each with what it shows and its box [x1, y1, x2, y2] in thousandths of the image.",
    ),
    "next": (
        "The task: {instruction}. What should the arm do next?",
        "The arm is told: {instruction}. What is its next step?",
        "To {instruction}: what has to be done next?",
    ),
    "done": (
        "The task: {instruction}. Is it done? Answer yes or no.",
        "The arm was told: {instruction}. Has it finished, yes or no?",
        "Has this been achieved: {instruction}? Answer yes or no.",
    ),
    "holding": (
        "Does the gripper hold the block? Answer yes or no.",
        "Is the block held by the gripper, yes or no?",
        "Has the gripper got hold of the block? Answer yes or no.",
    ),
    "viewpoint": (
        "Where is the camera: above the table, behind the arm, or on the gripper?",
        "From where was this image taken: above the table, behind the arm, or on the gripper?",
        "Which camera took this: the one above the table, the one behind the arm, or the one on the gripper?",
    ),
    "match": (
        f"Both images show the same moment. Where is the card at {{box}} of the first image in the second image? {_BOX}",
        f"One scene, two cameras: find the card that is at {{box}} in the first image in the second one. {_BOX}",
    ),
    "same-time": (
        "Two cameras took these images. Were they taken at the same time? Answer yes or no.",
        "Do the two images show the same moment from two sides, yes or no?",
    ),
    "nearer-camera": (
        "Which card is nearer to the camera, the one with the {label} or the one with the {other}?",
        "Of the {label} and the {other}, which is closer to the camera?",
    ),
    "side": (
        "Seen by the arm from its base, is the {thing} ahead on its left or on its right? Answer left or right.",
        "The arm faces the cards. Is the {thing} to the left or to the right of its base?",
    ),
    "where": (
        f"How far ahead of the arm's base is the block, and how far to the side? {_CM}",
        f"Where is the block, measured from the arm's base: ahead, and to the left or right? {_CM}",
    ),
    "below": (
        "This is what the gripper's camera sees. What does the card below the gripper show?",
        "Seen from the gripper: which card is it over? Name what the card shows.",
    ),
    "height": (
        f"How high above the table are the gripper's fingertips? {_CM}",
        f"What is the height of the gripper's fingertips over the table? {_CM}",
    ),
    "first": (
        "The images show one arm at work. Which was taken earlier? Answer first or second.",
        "Which of the two images was taken earlier while the arm was laying the block on a card, the first or the second?",
        "Put the two images in order of time: which is the earlier one, first or second?",
    ),
    "between": (
        "The first image was taken before the second. What happened in between?",
        "What happened from the first image to the second, which was taken later?",
    ),
    "still": (
        "Is the block in the same place in both images? Answer yes or no.",
        "Did the block stay where it was from one image to the other, yes or no?",
    ),
    "next-motion": (
        f"The task: {{instruction}}. How does the gripper move during the next {{seconds}} s? {_CM}",
        f"The arm is told: {{instruction}}. Which motion does the gripper make during the next {{seconds}} s? {_CM}",
    ),
    "motion-between": (
        f"How did the gripper move from the first image to the second, seen from the arm's base? {_CM}",
        f"Which motion of the gripper leads from the first image to the second, seen from the arm's base? {_CM}",
    ),
}
"""Kind of question to its wordings."""
