"""OpenCV: full decode, then the mean of the pixels under each output pixel."""

import cv2

from worker import QUALITY, SIDE_PX, is_jpeg, run

cv2.setNumThreads(1)


def thumbnail(photo, output):
    image = cv2.imread(photo, cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    small = cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    cv2.imwrite(output, small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if is_jpeg(output) else [])


run(thumbnail, f"OpenCV {cv2.__version__}")
